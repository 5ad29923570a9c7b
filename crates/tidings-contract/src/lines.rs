//! Making a line, and changing the line itself.

use futures_util::future::join_all;
use tidings_cluster::engine::{Append, Changed, EpochId, Init, LineEnd, Proposal, Refusal, State};
use tidings_core::Position;

use crate::hub::{proposal, refused, seen, taken};
use crate::{Check, Hub, Rig};

pub(crate) fn checks<'a>(rig: &'a impl Rig) -> Vec<Check<'a>> {
    vec![
        ("an unused prefix has no line", Box::pin(unused(rig))),
        (
            "the first proposal becomes the line",
            Box::pin(made_once(rig)),
        ),
        (
            "of proposals at once one becomes the line",
            Box::pin(made_at_once(rig)),
        ),
        (
            "an epoch is changed by compare-and-set",
            Box::pin(bump(rig)),
        ),
    ]
}

async fn unused(rig: &impl Rig) {
    let mut hub = Hub::apart(rig, 1);
    let only_read = Proposal {
        secret: None,
        ..proposal(1)
    };
    assert_eq!(hub.engine.init(only_read).await.unwrap(), Init::None);
    assert_eq!(hub.engine.state().await.unwrap(), State::None);
    let refused = refused(Refusal::None, 0);
    assert_eq!(hub.append(seen(0), &[b"x"]).await, refused);
    // Asking left no trace.
    assert_eq!(hub.engine.init(only_read).await.unwrap(), Init::None);
    assert_eq!(hub.engine.state().await.unwrap(), State::None);
}

async fn made_once(rig: &impl Rig) {
    let hub = Hub::apart(rig, 1);
    let Init::Made(line) = hub.engine.init(proposal(1)).await.unwrap() else {
        panic!("it was there before");
    };
    assert_eq!(line.epoch, proposal(1).epoch);
    assert_eq!(Some(line.secret), proposal(1).secret);
    assert_eq!((line.oldest, line.last), (Position::new(1), Position::ZERO));
    assert_eq!((line.print, line.torn), (None, false));
    let mut other = Hub::apart(rig, 2);
    let found = Init::Found(line);
    assert_eq!(other.engine.init(proposal(2)).await.unwrap(), found);
    assert_eq!(other.engine.state().await.unwrap(), State::Line(line));
    other.append(seen(0), &[b"a"]).await;
    let Init::Found(line) = hub.engine.init(proposal(2)).await.unwrap() else {
        panic!("it is gone");
    };
    assert_eq!(
        (line.oldest, line.last),
        (Position::new(1), Position::new(1))
    );
    assert_eq!(line.print, hub.entries(1).await[0].print);
}

async fn made_at_once(rig: &impl Rig) {
    let hubs: Vec<Hub> = (1..=5).map(|node| Hub::apart(rig, node)).collect();
    let inits = (1..)
        .zip(&hubs)
        .map(|(number, hub)| hub.engine.init(proposal(number)));
    let mut secrets = Vec::new();
    let mut made = 0;
    for init in join_all(inits).await {
        let (Init::Made(line) | Init::Found(line)) = init.clone().unwrap() else {
            panic!("{init:?}");
        };
        made += usize::from(matches!(init, Ok(Init::Made(_))));
        secrets.push(line.secret.secret());
    }
    secrets.dedup();
    assert_eq!((made, secrets.len()), (1, 1));
}

async fn bump(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let batch: Append = hub.batch(seen(0), &[(b"a", None)]);
    hub.engine.append(batch.clone()).await.unwrap();
    let line = hub.line().await;
    let end = |epoch, last| LineEnd {
        epoch,
        last: Position::new(last),
    };
    let (old, new) = (hub.epoch, EpochId::new(77));
    let moved = Changed::Moved(State::Line(line));
    for wrong in [end(old, 0), end(old, 2), end(new, 1)] {
        assert_eq!(hub.engine.bump(wrong, new).await.unwrap(), moved);
    }
    let done = Changed::Done {
        last: Position::new(1),
    };
    assert_eq!(hub.engine.bump(end(old, 1), new).await.unwrap(), done);
    let bumped = hub.line().await;
    assert_eq!(bumped.epoch, new);
    assert_eq!(bumped.secret, line.secret, "ids stay what they were");
    assert_eq!((bumped.last, bumped.print), (line.last, line.print));
    // Not even a repetition is answered under the old epoch.
    let refused = refused(Refusal::OtherEpoch, 1);
    assert_eq!(hub.engine.append(batch).await.unwrap(), refused);
    hub.epoch = new;
    assert_eq!(hub.append(seen(1), &[b"b"]).await, taken(2, 2));
}
