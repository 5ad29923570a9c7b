//! `[flash]`: a listener needs a policy.

use super::Checks;
use crate::config::tables::flash::FlashOptions;

impl Checks<'_> {
    pub(super) fn flash(&mut self, flash: &FlashOptions) {
        let Some(address) = flash.address else {
            return;
        };
        self.listen_on("flash.address", address);
        if flash.allow.is_empty() {
            let advice = "is set, but flash.allow is empty, so that there is no policy: write \
                          such as \"example.com:443\" there, or remove this";
            self.contradiction("flash.address", advice);
        }
    }
}
