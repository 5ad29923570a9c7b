//! `[[listen]]`: there is an address, and no other listener has it.

use super::Checks;
use crate::config::Listen;
use crate::config::tables::listen::ListenTable;

impl Checks<'_> {
    pub(super) fn listens(&mut self, tables: &[ListenTable]) -> Vec<Listen> {
        if tables.is_empty() {
            let advice = "write a [[listen]] table with address = \"127.0.0.1:4400\" behind a \
                          proxy, or address = \"0.0.0.0:443\" and tls = true";
            self.missing("listen.0.address", advice);
        }
        let mut listens = Vec::with_capacity(tables.len());
        for (index, table) in tables.iter().enumerate() {
            let Some(address) = table.address else {
                continue;
            };
            self.listen_on(&format!("listen.{index}.address"), address);
            listens.push(Listen {
                address,
                tls: table.tls,
                proxy_protocol: table.proxy_protocol,
                topic: table.room.clone(),
            });
        }
        listens
    }
}
