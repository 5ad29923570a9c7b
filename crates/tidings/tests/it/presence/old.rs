//! Subscriptions in the words of 0.x: events without a name, documents of JSON-LD, and tokens where
//! its hubs looked for them.

use super::*;
use crate::harness::dialects::{all_dialects, old_token, subscribe_at};

const SUBSCRIPTIONS: &str = "topic=/.well-known/mercure/subscriptions{/topic}{/subscriber}";

fn old_hub() -> TestHub {
    TestHub::serve(&all_dialects(
        "[subscribe]\nanonymous = true\n[presence]\nenabled = true\ngrace_secs = 0\n",
    ))
}

fn reader() -> String {
    let selector = SUBSCRIPTIONS.strip_prefix("topic=").unwrap();
    old_token(json!({"subscribe": [selector, ALL], "payload": {"name": "x"}}))
}

#[test]
fn an_event_has_no_name_and_the_old_document() {
    let hub = old_hub();
    let token = reader();
    let mut watcher = subscribe_at(&hub, HUB_PATH, SUBSCRIPTIONS, Some(&token));
    let own = document(&watcher.event());
    assert_eq!(own["payload"], json!({"name": "x"}));
    let subscriber = hub.subscribe("topic=https://example.com/books/1");
    let event = watcher.event();
    assert_eq!(event.event_type, "message");
    let begun = document(&event);
    let named = begun["subscriber"].as_str().unwrap().replace(':', "%3A");
    assert_eq!(
        begun,
        json!({
            "@context": "https://mercure.rocks/",
            "id": format!("{ALL}/https%3A%2F%2Fexample.com%2Fbooks%2F1/{named}"),
            "type": "Subscription", "subscriber": begun["subscriber"],
            "topic": "https://example.com/books/1", "active": true
        })
    );
    drop(subscriber);
    let ended = document(&watcher.event());
    assert_eq!(
        (&ended["id"], &ended["active"]),
        (&begun["id"], &json!(false))
    );
}

#[test]
fn the_api_answers_in_json_ld_to_a_token_in_any_of_the_old_places() {
    let hub = old_hub();
    let token = reader();
    let _subscriber = hub.subscribe("topic=a");
    let ways = [
        Request::get(ALL).bearer(&token),
        Request::get(&format!("{ALL}?authorization={token}")),
        Request::get(&format!("{ALL}?%61uthorization={token}")),
        Request::get(ALL).header("Cookie", &format!("mercureAuthorization={token}")),
    ];
    for request in ways {
        let answer = wait_until("the subscription", || {
            let answer = hub.request(request.clone());
            assert_eq!(answer.status, 200, "{}", answer.text());
            let found = answer.json()["subscriptions"] != json!([]);
            found.then_some(answer)
        });
        assert_eq!(answer.header("content-type"), Some("application/ld+json"));
        // The cursor in the document changes more often than what it lists.
        let tag = answer.header("etag").unwrap();
        assert!(tag.starts_with("W/\""), "{tag}");
        let known = hub.request(request.clone().header("If-None-Match", tag));
        assert_eq!(known.status, 304);
        // A token in the address is not said again.
        assert!(!answer.text().contains(&token), "{}", answer.text());
        let links = answer.header("link").unwrap();
        assert!(!links.contains(&token), "{links}");
        let all = answer.json();
        assert_eq!(all["@context"], "https://mercure.rocks/");
        assert_eq!(all["type"], "Subscriptions");
        assert!(all["lastEventID"].is_string(), "{all}");
        let one = &all["subscriptions"][0];
        assert_eq!(
            (&one["type"], &one["topic"]),
            (&json!("Subscription"), &json!("a"))
        );
        let path = one["id"].as_str().unwrap();
        let alone = hub.request(Request::get(path).bearer(&token));
        assert_eq!(alone.status, 200, "{}", alone.text());
        assert_eq!(alone.json()["id"], one["id"]);
        let by_topic = hub.request(Request::get(&format!("{ALL}/a")).bearer(&token));
        assert_eq!(by_topic.json()["subscriptions"][0]["id"], one["id"]);
    }
    assert_eq!(hub.request(Request::get(ALL)).status, 401);
    let other = old_token(json!({"subscribe": ["https://example.com/other"]}));
    let none = old_token(json!({}));
    for token in [other, none] {
        for path in [ALL.to_owned(), format!("{ALL}/a"), format!("{ALL}/a/b")] {
            let refused = hub.request(Request::get(&path).bearer(&token));
            let said = (refused.status, refused.text());
            assert_eq!(said, (401, "Unauthorized\n".to_owned()), "{path}");
        }
    }
    // 1.0 says why, and that another token is needed.
    let modern = token_with(json!([detail(
        &["subscribe"],
        &["https://example.com/other"]
    )]));
    let refused = hub.request(Request::get(ALL).bearer(&modern));
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (403, "scope-insufficient")
    );
}

#[test]
fn the_link_to_the_next_page_does_not_carry_the_token() {
    let hub = old_hub();
    let token = reader();
    let _subscribers = [hub.subscribe("topic=a"), hub.subscribe("topic=b")];
    let asked = format!("{ALL}?authorization={token}&limit=1");
    let next = wait_until("a second page", || {
        let document = hub.request(Request::get(&asked)).json();
        document["next"].as_str().map(str::to_owned)
    });
    assert!(next.starts_with(&format!("{ALL}?limit=1&after=")), "{next}");
    let second = hub.request(Request::get(&next).bearer(&token));
    assert_eq!(second.json()["subscriptions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_token_of_1_0_in_the_old_places_opens_nothing() {
    let hub = old_hub();
    let token = token_for_all();
    assert_eq!(hub.request(Request::get(ALL).bearer(&token)).status, 200);
    let ways = [
        Request::get(&format!("{ALL}?authorization={token}")),
        Request::get(ALL).header("Cookie", &format!("mercureAuthorization={token}")),
    ];
    for request in ways {
        assert_eq!(hub.request(request).status, 401);
    }
}
