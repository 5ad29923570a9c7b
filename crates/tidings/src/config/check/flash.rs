//! `[flash]`: the policy. A listener needs one.

use tidings_wire::flash_policy::{self, Access};

use super::Checks;
use crate::config::FlashOptions;
use crate::config::tables::flash::FlashTable;

impl Checks<'_> {
    pub(super) fn flash(&mut self, table: &FlashTable) -> Option<FlashOptions> {
        if let Some(address) = table.address {
            self.listen_on("flash.address", address);
        }
        if table.address.is_some() && table.allow.is_empty() {
            let advice = "is set, but flash.allow is empty, so that there is no policy: write \
                          such as \"example.com:443\" there, or remove this";
            self.contradiction("flash.address", advice);
        }
        let access: Result<Vec<Access>, _> =
            table.allow.iter().map(|rule| Access::parse(rule)).collect();
        match access {
            Ok(access) => Some(FlashOptions {
                address: table.address,
                inline: !access.is_empty(),
                policy: flash_policy::policy(table.site_control, &access).into(),
            }),
            Err(error) => {
                self.invalid("flash.allow", error);
                None
            }
        }
    }
}
