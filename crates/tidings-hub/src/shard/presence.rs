//! What a shard tells presence about its sessions: which began and which ended. An end never waits: if the
//! queue is full, the shard tells it later.

use std::time::Duration;

use tidings_auth::Identity;
use tidings_core::hub::SubscriberId;
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;

use super::Shard;
use crate::posted::Encoding;
use crate::presence::Presence;
use crate::presence::table::{Joined, Key};
use crate::session::Session;
use crate::session::watcher::Watcher;

/// The pause before presence is told again, after its queue was full.
const PAUSE: Duration = Duration::from_millis(20);
/// Capacity that the list of ended sessions keeps after many ended at once.
const DEPARTED_KEPT: usize = 256;

impl Shard {
    /// Returns presence, if it is on.
    pub fn presence(&self) -> Option<&Presence> {
        self.shared.presence.as_ref()
    }

    /// Tells presence that a session began.
    pub(crate) async fn tell_joined(&self, session: &Session) {
        let Some(presence) = self.presence() else {
            return;
        };
        let joined = self.joined(session);
        // A poll lasts for one response. It counts as present only if the next poll can be recognised.
        if session.encoding == Encoding::Lines && !self.comes_back(joined.identity.as_deref()) {
            return;
        }
        presence.join(joined).await;
    }

    /// Tells presence that a session's matchers or identity changed.
    pub(crate) async fn tell_changed(&self, session: &Session) {
        let Some(presence) = self.presence() else {
            return;
        };
        // In one step with the check: presence must hear nothing about a session after its end.
        while self.engine.borrow().holds(session) && !presence.try_join(self.joined(session)) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns whether presence events may be for a session.
    pub(crate) fn watches(&self, session: &Session) -> bool {
        let identity = session.identity();
        let watcher = Watcher {
            matchers: &session.matchers(),
            grants: identity.as_ref().map(|identity| &*identity.grants),
        };
        watcher.watches(self.hub())
    }

    /// Returns whether a presence event after `after` is gone that a session may see and has not received.
    pub(crate) fn misses(&self, session: &Session, after: Position) -> bool {
        let identity = session.identity();
        let grants = identity.as_ref().map(|identity| &*identity.grants);
        let matchers = session.matchers();
        let misses = |matchers: &[Matcher], after| Watcher { matchers, grants }.misses(self, after);
        // While added matchers catch up, the earlier ones have received what they read.
        match session.update(|progress| progress.added_scope()) {
            Some((earlier, through)) => {
                let (old, new) = matchers.split_at(earlier.min(matchers.len()));
                misses(new, after) || misses(old, after.max(through))
            }
            None => misses(&matchers, after),
        }
    }

    /// Returns whether presence recognises a subscriber with this identity when it comes back.
    fn comes_back(&self, identity: Option<&Identity>) -> bool {
        self.options().remembers_who_left
            && identity.is_some_and(|identity| identity.subject.is_some())
    }

    fn joined(&self, session: &Session) -> Joined {
        Joined {
            key: self.key(session.id),
            matchers: (&*session.matchers()).into(),
            identity: session.identity(),
        }
    }

    /// Tells presence that a session ended, now or as soon as its queue has room.
    pub(crate) fn tell_left(&self, session: &Session) {
        if self.presence().is_some() {
            self.departed.borrow_mut().push(session.id);
            self.tell_departed();
        }
    }

    /// Tells presence which sessions ended, as far as its queue has room.
    pub(crate) fn tell_departed(&self) {
        let Some(presence) = self.presence() else {
            return;
        };
        let mut departed = self.departed.borrow_mut();
        while let Some(id) = departed.pop() {
            if !presence.try_leave(self.key(id)) {
                departed.push(id);
                return;
            }
        }
        if departed.capacity() > DEPARTED_KEPT {
            departed.shrink_to(DEPARTED_KEPT);
        }
    }

    fn key(&self, id: SubscriberId) -> Key {
        let shard = self.index;
        Key { shard, id }
    }
}
