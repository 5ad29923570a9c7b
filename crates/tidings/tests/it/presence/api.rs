//! Questions about subscriptions: addresses, grants, cursors, validators, filters and pages.

use std::collections::BTreeSet;

use super::*;
use crate::harness::tokens::HUB;

#[test]
fn the_three_addresses_answer() {
    let hub = hub("");
    let _streams = [
        hub.subscribe("match=a/b&match=c"),
        hub.subscribe("match_urlpattern=a/b"),
    ];
    live(&hub, 3);
    let all = get(&hub, ALL, &token_for_all());
    let document = all.json();
    assert_eq!(
        (&document["id"], &document["type"]),
        (&json!(ALL), &json!("subscriptions"))
    );
    assert_eq!(document["subscriptions"].as_array().unwrap().len(), 3);
    let path = format!("{ALL}/exact/a%2Fb");
    let some = get(&hub, &path, &token_for_all()).json();
    assert_eq!(
        (&some["id"], &some["type"]),
        (&json!(path), &json!("subscriptions"))
    );
    assert_eq!(some["subscriptions"], json!([document["subscriptions"][0]]));
    assert_eq!(some["subscriptions"][0]["match"], "a/b");
    let id = some["subscriptions"][0]["id"].as_str().unwrap();
    let one = get(&hub, id, &token_for_all());
    assert_eq!(one.json(), some["subscriptions"][0]);
    // It is the very document of the event.
    let mut watcher = watch(&hub, "earliest");
    assert_eq!(one.text(), watcher.event().data);
    let empty = get(&hub, &format!("{ALL}/exact/nobody"), &token_for_all());
    assert_eq!(
        (empty.status, &empty.json()["subscriptions"]),
        (200, &json!([]))
    );
}

#[test]
fn empty_parameters_are_those_that_nobody_filled_in() {
    let hub = hub("");
    let _streams = [hub.subscribe("match=a&match=b"), hub.subscribe("match=a")];
    live(&hub, 3);
    let ask = |target: &str| {
        let answer = get(&hub, target, &token_for_all());
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let document = answer.json();
        (document["subscriptions"].clone(), document["total"].clone())
    };
    let all = ask(ALL);
    assert_eq!(all.1, 3);
    let of_a = ask(&format!("{ALL}/exact/a"));
    assert_eq!(of_a.1, 2);
    // With and without an equals sign, each alone and all together.
    let names = ["topic", "pattern", "subscriber", "limit", "after"];
    let together = names.map(|name| format!("{name}=")).join("&");
    let alone = names
        .into_iter()
        .flat_map(|name| [name.to_owned(), format!("{name}=")]);
    for query in alone.chain([together, "other=&".to_owned(), String::new()]) {
        assert_eq!(ask(&format!("{ALL}?{query}")), all, "{query}");
        assert_eq!(ask(&format!("{ALL}/exact/a?{query}")), of_a, "{query}");
    }
    // A flag has no value that could be missing.
    for flag in ["count_only", "count_only="] {
        assert_eq!(ask(&format!("{ALL}?{flag}&topic=")).1, 3, "{flag}");
    }
    // What was filled in still counts.
    assert_eq!(
        ask(&format!("{ALL}?topic=b&pattern=&limit=")).0,
        json!([all.0[1]])
    );
    for wrong in ["limit=x", "limit=+", "after=%20", "pattern=%20%00"] {
        let answer = get(&hub, &format!("{ALL}?{wrong}"), &token_for_all());
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn what_does_not_exist_is_not_found() {
    let hub = hub("");
    let _stream = hub.subscribe("match=a");
    let document = live(&hub, 1).remove(0);
    let id = document["id"].as_str().unwrap();
    let unknown = [
        format!("{ALL}/exact/a/urn%3Auuid%3Aunknown"),
        id.replace("/exact/a/", "/exact/b/"),
        id.replace("/exact/", "/urlpattern/"),
        id.replace("/exact/", "/Exact/"),
        format!("{ALL}/regex/a"),
        format!("{ALL}/exact"),
        format!("{ALL}/"),
        format!("{id}/more"),
        format!("{ALL}s"),
    ];
    for path in unknown {
        assert_eq!(get(&hub, &path, &token_for_all()).status, 404, "{path}");
    }
    assert_eq!(
        get(&hub, &format!("{ALL}/exact/%ff"), &token_for_all()).status,
        400
    );
}

#[test]
fn the_path_is_asked_of_the_token_as_a_topic() {
    let hub = hub("");
    let _stream = hub.subscribe("match=a");
    let document = live(&hub, 1).remove(0);
    let one = document["id"].as_str().unwrap();
    let some = format!("{ALL}/exact/a");
    let none = hub.request(Request::get(ALL));
    assert_eq!(none.status, 401);
    let challenge = none.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer resource_metadata="),
        "{challenge}"
    );
    let may = |topic: &str, kind: &str, action: &str| {
        let grant = json!([{"type": DETAIL_TYPE, "actions": [action],
            "topics": [{"match": topic, "match_type": kind}]}]);
        let grant = token_with(grant);
        [ALL, &some, one].map(|path| get(&hub, &format!("{path}?limit=5"), &grant).status)
    };
    assert_eq!(may("*", "exact", "subscribe"), [200; 3]);
    assert_eq!(may(ALL, "exact", "subscribe"), [200, 403, 403]);
    assert_eq!(may(&some, "exact", "subscribe"), [403, 200, 403]);
    assert_eq!(may(one, "exact", "subscribe"), [403, 403, 200]);
    let below = format!("{ALL}/:type/:match");
    assert_eq!(may(&below, "urlpattern", "subscribe"), [403, 200, 403]);
    let absolute = format!("{HUB}/subscriptions*");
    assert_eq!(may(&absolute, "urlpattern", "subscribe"), [200; 3]);
    assert_eq!(may("*", "exact", "publish"), [403; 3]);
    let refused = get(
        &hub,
        ALL,
        &token_with(json!([detail(&["subscribe"], &["other"])])),
    );
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("insufficient_scope"), "{challenge}");
}

#[test]
fn every_answer_has_the_cursor_and_may_be_read_across_origins() {
    let hub = hub("");
    let link = |cursor: &str| {
        format!(
            "<{HUB}>; rel=\"mercure\"; last-event-id=\"{cursor}\"; type=\"mercure\"; \
             content-type=\"application/json\""
        )
    };
    assert_eq!(
        get(&hub, ALL, &token_for_all()).header("link"),
        Some(link("earliest").as_str())
    );
    // All presence events come before the update, so that the update is the last.
    let mut watcher = watch(&hub, "");
    watcher.event();
    let _stream = hub.subscribe("match=a");
    let document = document(&watcher.event());
    let id = document["id"].as_str().unwrap();
    let cursor = hub.publish_as(&token_for_all(), &[("topic", "t")]).text();
    for path in [ALL, &format!("{ALL}/exact/a"), id, &format!("{id}x")] {
        let asked = Request::get(path).bearer(&token_for_all());
        let answer = hub.request(asked.header("Origin", "https://app.example.com"));
        let expected = link(&cursor);
        assert_eq!(answer.header("link"), Some(expected.as_str()), "{path}");
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(
            exposed.contains("Link") && exposed.contains("ETag"),
            "{exposed}"
        );
        if answer.status == 200 {
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        }
    }
}

#[test]
fn fetching_and_following_from_the_cursor_misses_nothing() {
    let hub = hub("");
    let mut streams: Vec<(String, EventStream)> = Vec::new();
    for round in 0..30 {
        streams.push((round.to_string(), hub.subscribe(&format!("match={round}"))));
        if round % 3 == 2 {
            drop(streams.remove(0));
        }
        let answer = get(&hub, ALL, &token_for_all());
        let link = answer.header("link").unwrap();
        let cursor = link.split("last-event-id=\"").nth(1).unwrap();
        let cursor = cursor.split('"').next().unwrap();
        let listed = answer.json()["subscriptions"].as_array().unwrap().clone();
        let mut seen: BTreeSet<String> = listed.iter().filter_map(pattern).collect();
        let live: BTreeSet<String> = streams.iter().map(|(name, _)| name.clone()).collect();
        let mut follower = watch(&hub, cursor);
        // Whatever the list had too early or too late is put right by what follows the cursor.
        while seen != live {
            let event = document(&follower.event());
            let Some(pattern) = pattern(&event) else {
                continue;
            };
            if event["active"] == true {
                seen.insert(pattern);
            } else {
                seen.remove(&pattern);
            }
        }
    }
}

/// Returns what a subscription asks for, unless it is a watcher's.
fn pattern(document: &Value) -> Option<String> {
    let pattern = document["match"].as_str().unwrap();
    (!pattern.starts_with('/')).then(|| pattern.to_owned())
}

#[test]
fn a_known_answer_is_not_sent_again() {
    let hub = hub("");
    let _stream = hub.subscribe("match=a");
    let document = live(&hub, 1).remove(0);
    let of_matcher = format!("{ALL}/exact/a");
    for path in [ALL, &of_matcher, document["id"].as_str().unwrap()] {
        let first = get(&hub, path, &token_for_all());
        let tag = first.header("etag").unwrap();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        let ask = |known: &str| {
            let asked = Request::get(path).bearer(&token_for_all());
            hub.request(asked.header("If-None-Match", known))
        };
        for known in [
            tag.to_owned(),
            format!("W/{tag}"),
            format!("\"x\", {tag} , W/\"y\""),
            "*".to_owned(),
        ] {
            let answer = ask(&known);
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
            assert_eq!(answer.header("etag"), Some(tag));
            assert!(answer.header("link").is_some());
        }
        for unknown in ["\"x\"", "W/\"x\"", tag.trim_matches('"'), ""] {
            assert_eq!(ask(unknown).status, 200, "{unknown}");
        }
        // An update changes the cursor, and not the answer.
        hub.publish_as(&token_for_all(), &[("topic", "t")]);
        assert_eq!(ask(tag).status, 304);
        // What begins and ends beside changes the answer about all, and tells the others nothing.
        let changed = if path == ALL { 200 } else { 304 };
        let other = hub.subscribe("match=b");
        live(&hub, 2);
        assert_eq!(ask(tag).status, changed, "{path}");
        // The same answer has the same validator again.
        drop(other);
        live(&hub, 1);
        assert_eq!(ask(tag).status, 304, "{path}");
    }
    let first = get(&hub, &of_matcher, &token_for_all());
    let second = hub.subscribe("match=a");
    live(&hub, 2);
    let with_two = get(&hub, &of_matcher, &token_for_all());
    assert_ne!(with_two.header("etag"), first.header("etag"));
    drop(second);
    live(&hub, 1);
    let tags = [with_two, get(&hub, &of_matcher, &token_for_all())];
    assert_ne!(tags[0].header("etag"), tags[1].header("etag"));
    let gone = Request::get(&format!("{ALL}/exact/a/x")).bearer(&token_for_all());
    assert_eq!(hub.request(gone.header("If-None-Match", "*")).status, 404);
}

#[test]
fn head_has_the_fields_and_other_methods_are_refused() {
    let hub = hub("");
    let head = hub.request(Request::new("HEAD", ALL).bearer(&token_for_all()));
    let get = get(&hub, ALL, &token_for_all());
    assert_eq!(head.status, 200);
    for name in ["etag", "link", "content-type", "content-length"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    let post = hub.request(
        Request::post(ALL)
            .bearer(&token_for_all())
            .form(&[("topic", "t")]),
    );
    assert_eq!(
        (post.status, post.header("allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
    let preflight = Request::new("OPTIONS", ALL).header("Origin", "https://app.example.com");
    let preflight = hub.request(preflight.header("Access-Control-Request-Method", "GET"));
    assert_eq!(preflight.status, 204);
    let fields = preflight.header("access-control-allow-headers").unwrap();
    assert!(
        fields.contains("If-None-Match") && fields.contains("Authorization"),
        "{fields}"
    );
}

#[test]
fn answers_can_be_filtered_and_counted() {
    let hub = hub("");
    let _streams = [
        hub.subscribe(
            "match=https://example.com/books/1&match_urlpattern=https://example.com/books/:id",
        ),
        hub.subscribe("match=https://example.com/books/2"),
        hub.subscribe("match=*"),
    ];
    let all = live(&hub, 4);
    let matches = |query: &str| -> Vec<String> {
        let found = collection(&hub, query);
        found
            .iter()
            .map(|found| found["match"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        matches("?topic=https://example.com/books/1"),
        [
            "https://example.com/books/1",
            "https://example.com/books/:id",
            "*"
        ]
    );
    assert_eq!(
        matches("?pattern=https://example.com/books/:any"),
        [
            "https://example.com/books/1",
            "https://example.com/books/:id",
            "https://example.com/books/2"
        ]
    );
    assert_eq!(
        matches("?pattern=https://example.com/books/:any&topic=https://example.com/books/2"),
        [
            "https://example.com/books/:id",
            "https://example.com/books/2"
        ]
    );
    let first = all[0]["subscriber"].as_str().unwrap();
    assert_eq!(matches(&format!("?subscriber={first}")).len(), 2);
    let counted = get(
        &hub,
        &format!("{ALL}?count_only&topic=https://example.com/books/1"),
        &token_for_all(),
    );
    assert_eq!(
        (&counted.json()["total"], &counted.json()["subscriptions"]),
        (&json!(3), &json!([]))
    );
    let bad = get(&hub, &format!("{ALL}?pattern=%7B"), &token_for_all());
    assert_eq!(bad.status, 400);
    let bad = get(&hub, &format!("{ALL}?limit=some"), &token_for_all());
    assert_eq!(bad.status, 400);
}

#[test]
fn a_large_table_comes_in_pages() {
    let hub = hub("page_size_max = 150\n");
    let streams: Vec<EventStream> = (0..30)
        .map(|stream| {
            let query: Vec<String> = (0..100).map(|n| format!("match=t{stream}.{n}")).collect();
            hub.subscribe(&query.join("&"))
        })
        .collect();
    wait_until("all are live", || (total(&hub) == 3000).then_some(()));
    for (query, pages) in [
        ("", 20),
        ("?limit=1000", 20),
        ("?limit=100", 30),
        ("?limit=100&topic=t0.7", 1),
    ] {
        let mut target = format!("{ALL}{query}");
        let mut seen = Vec::new();
        let mut count = 0;
        loop {
            let answer = get(&hub, &target, &token_for_all());
            let document = answer.json();
            assert_eq!(document["id"], target.as_str());
            seen.extend(document["subscriptions"].as_array().unwrap().clone());
            count += 1;
            let Some(next) = document["next"].as_str() else {
                break;
            };
            let links: Vec<&str> = answer
                .headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case("link"))
                .map(|(_, value)| value.as_str())
                .collect();
            assert!(
                links.contains(&format!("<{next}>; rel=\"next\"").as_str()),
                "{links:?}"
            );
            target = next.to_owned();
        }
        let mut ids: Vec<&str> = seen
            .iter()
            .map(|seen| seen["id"].as_str().unwrap())
            .collect();
        let listed = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((count, ids.len()), (pages, listed), "{query}");
        assert_eq!(listed, if query.contains("topic") { 1 } else { 3000 });
    }
    drop(streams);
    wait_until("all are gone", || (total(&hub) == 0).then_some(()));
}

fn total(hub: &TestHub) -> u64 {
    let answer = get(hub, &format!("{ALL}?count_only"), &token_for_all());
    answer.json()["total"].as_u64().unwrap()
}

/// Waits until `count` subscriptions are live, and returns them.
fn live(hub: &TestHub, count: usize) -> Vec<Value> {
    wait_until("the subscriptions are live", || {
        Some(collection(hub, "")).filter(|live| live.len() == count)
    })
}
