//! How clients discover the hub: metadata, challenges, links; and a hub at an unusual path.

use crate::harness::served::served_token;
use crate::harness::tokens::{HUB, settings};
use crate::harness::{HUB_PATH, Request, TestHub};

const METADATA: &str = "/.well-known/oauth-protected-resource/.well-known/mercure";

#[test]
fn the_metadata_is_at_the_well_known_path_and_names_the_audience() {
    let hub = TestHub::serve(&settings("[cors]\norigins = [\"https://app.example\"]"));
    let asked = Request::get(METADATA).header("Origin", "https://app.example");
    let answer = hub.request(asked);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(
        answer.header("Access-Control-Allow-Origin"),
        Some("https://app.example")
    );
    let metadata = answer.json();
    assert_eq!(metadata["resource"], HUB);
    assert_eq!(
        metadata["authorization_details_types_supported"],
        serde_json::json!(["https://mercure.rocks/authorization-detail"])
    );
    assert_eq!(
        metadata["bearer_methods_supported"],
        serde_json::json!(["header"])
    );
    assert_eq!(metadata["mercure_cookie"], "__Secure-mercure_access_token");
    // The issuer has no key set: it needs nobody to be told where tokens come from.
    assert!(metadata.get("authorization_servers").is_none());
    assert_eq!(hub.request(Request::new("HEAD", METADATA)).status, 200);
    let posted = hub.request(Request::post(METADATA));
    assert_eq!(
        (posted.status, posted.header("Allow")),
        (405, Some("GET, HEAD"))
    );
}

#[test]
fn the_metadata_advertises_the_matcher_types() {
    let hub = TestHub::dev();
    let metadata = hub.request(Request::get(METADATA)).json();
    let types = metadata["mercure_matcher_types_supported"]
        .as_array()
        .unwrap();
    for name in ["exact", "urlpattern"] {
        assert!(types.iter().any(|known| known == name), "{types:?}");
    }
}

#[test]
fn the_resource_is_an_audience_that_tokens_may_have() {
    let toml = settings("[auth]\naudiences = [\"urn:example:hub\", \"urn:example:old\"]");
    let hub = TestHub::serve(&toml);
    assert_eq!(
        hub.request(Request::get(METADATA)).json()["resource"],
        "urn:example:hub"
    );
}

#[test]
fn every_challenge_says_where_the_metadata_is() {
    let hub = TestHub::serve(&settings(""));
    let pointer = format!("resource_metadata=\"https://hub.example.com{METADATA}\"");
    let subscribe = |request: Request| hub.request(request);
    let path = format!("{HUB_PATH}?match=a");
    let none = subscribe(Request::get(&path));
    assert_eq!(none.status, 401);
    // Without a token there is no error code; RFC 6750, 3.1.
    assert_eq!(
        none.header("WWW-Authenticate"),
        Some(&*format!("Bearer {pointer}"))
    );
    let reader =
        crate::harness::tokens::token_with(serde_json::json!([crate::harness::tokens::detail(
            &["subscribe"],
            &["a"]
        )]));
    for (request, status, error) in [
        (Request::get(&path).bearer("a.b.c"), 401, "invalid_token"),
        (
            Request::get(&path).header("Authorization", "Bearer"),
            400,
            "invalid_request",
        ),
        (
            Request::post(HUB_PATH)
                .bearer(&reader)
                .form(&[("topic", "a")]),
            403,
            "insufficient_scope",
        ),
    ] {
        let answer = subscribe(request);
        assert_eq!(answer.status, status);
        let expected = format!("Bearer error=\"{error}\", {pointer}");
        assert_eq!(answer.header("WWW-Authenticate"), Some(&*expected));
    }
}

#[test]
fn pages_link_to_the_hub_and_to_their_topic() {
    let hub = TestHub::dev();
    let links = |page: &str| -> Vec<String> {
        let answer = hub.request(Request::get(page));
        assert_eq!(answer.status, 200, "{page}");
        let links = answer
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("link"));
        links.map(|(_, value)| value.clone()).collect()
    };
    let port = hub.address.port();
    let to_hub = format!("<http://localhost:{port}{HUB_PATH}>; rel=\"mercure\"");
    assert_eq!(
        links("/chat/"),
        [to_hub.clone(), "</chat>; rel=\"self\"".to_owned()]
    );
    for page in ["/", "/scores/", "/debugger/"] {
        assert_eq!(links(page), std::slice::from_ref(&to_hub), "{page}");
    }
}

#[test]
fn any_path_can_be_the_hubs() {
    for path in ["/push", "/a/b%20c/~hub;v=1", "/hubs/1.0/@x"] {
        let toml = settings(&format!(
            "[hub]\npublic_url = \"https://hub.test{path}\"\n\
             [[auth.issuers]]\nissuer = \"https://issuer.test\"\n\
             key = \"a key that is only good for the tests of this hub\"\n\
             [auth]\naudiences = [\"https://hub.test/.well-known/mercure\"]\n[subscribe]\nanonymous = true\n"
        ));
        let hub = TestHub::serve(&toml);
        let mut stream = hub.subscribe_by(Request::get(&format!("{path}?match=books/1")));
        let token = served_token(&["--publish", "*"]);
        let publish = |topic: &str| {
            let form = [("topic", topic), ("data", "here")];
            hub.request(Request::post(path).bearer(&token).form(&form))
                .status
        };
        assert_eq!(publish("books/1"), 200, "{path}");
        assert_eq!(stream.data(1), ["here"], "{path}");
        // What is the hub's moves with its path.
        assert_eq!(
            publish(&format!("https://hub.test{}/subscriptions", path)),
            400,
            "{path}"
        );
        let metadata = format!("/.well-known/oauth-protected-resource{path}");
        assert_eq!(
            hub.request(Request::get(&metadata)).status,
            200,
            "{metadata}"
        );
        assert_eq!(hub.request(Request::get(HUB_PATH)).status, 404, "{path}");
    }
}

#[test]
fn a_preflight_says_which_bodies_query_takes() {
    let hub = TestHub::dev();
    let answer = hub.request(Request::new("OPTIONS", HUB_PATH));
    assert_eq!(
        answer.header("Accept-Query"),
        Some("application/x-www-form-urlencoded")
    );
    assert!(
        answer
            .header("Allow")
            .is_some_and(|allow| allow.contains("QUERY"))
    );
}
