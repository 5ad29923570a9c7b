//! `[rooms]`: who may join which rooms, and whether anybody can.

use super::Checks;
use crate::config::tables::listen::ListenTable;
use crate::config::tables::rooms::{RoomAccess, RoomOptions};

impl Checks<'_> {
    pub(super) fn rooms(&mut self, rooms: &RoomOptions, listens: &[ListenTable]) {
        let named = listens.iter().position(|listen| listen.room.is_some());
        match (rooms.access, named) {
            (None, Some(index)) => {
                let advice = "is set, but rooms.access is \"off\": write \"anonymous\" or \
                              \"token\" there, or remove this";
                self.contradiction(&format!("listen.{index}.room"), advice);
            }
            (Some(_), None) if rooms.topics.is_empty() => {
                let advice = "is empty, and no [[listen]] has a room, so that nobody could take \
                              part: write topics such as \"chat/*\"";
                self.contradiction("rooms.topics", advice);
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        if rooms.private && rooms.access != Some(RoomAccess::Token) {
            let advice = "is true, but rooms.access is not \"token\", so that nobody could read: \
                          write \"token\" there, or false here";
            self.contradiction("rooms.private", advice);
        }
    }
}
