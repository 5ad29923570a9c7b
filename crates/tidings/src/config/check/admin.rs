//! `[admin]`: the address is free, and the token is one that nobody guesses.

use std::net::SocketAddr;

use super::Checks;
use crate::config::admin_token::AdminToken;
use crate::config::tables::admin::AdminTable;
use crate::text_file;

impl Checks<'_> {
    pub(super) fn admin(&mut self, table: AdminTable) -> (Option<SocketAddr>, Option<AdminToken>) {
        let AdminTable {
            address,
            token,
            token_file,
        } = table;
        if let Some(address) = address {
            self.listen_on("admin.address", address);
        }
        let (key, text) = match (token, token_file) {
            (Some(_), Some(_)) => {
                let advice = "token and token_file exclude each other: remove one";
                self.contradiction("admin.token_file", advice);
                return (address, None);
            }
            (Some(token), None) => ("admin.token", token.0),
            (None, Some(file)) => match text_file::read(&file) {
                Ok(text) => (
                    "admin.token_file",
                    text_file::without_line_break(&text).to_owned(),
                ),
                Err(error) => {
                    self.invalid("admin.token_file", format!("{file}: {error}"));
                    return (address, None);
                }
            },
            (None, None) => return (address, None),
        };
        if address.is_none() {
            let warning = format!("{key}: there is no admin.address where it could be presented");
            self.warnings.push(warning);
        }
        match AdminToken::parse(&text) {
            Ok(token) => (address, Some(token)),
            Err(error) => {
                self.invalid(key, error);
                (address, None)
            }
        }
    }
}
