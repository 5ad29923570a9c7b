//! How a token is presented: the challenges, the scheme, and what counts as malformed.

use super::*;

#[test]
fn no_token_gets_a_challenge_without_an_error_code() {
    let hub = hub();
    for request in [
        Request::get(&format!("{HUB_PATH}?match=*")),
        Request::post(HUB_PATH).form(&[("topic", TOPIC)]),
    ] {
        let answer = hub.request(request);
        assert_eq!((answer.status, challenge(&answer)), (401, "Bearer"));
        assert_eq!(answer.problem(), "token-missing");
    }
}

#[test]
fn a_token_in_the_url_or_in_the_form_is_no_token() {
    let hub = hub();
    let token = token_for_all();
    for name in ["access_token", "authorization"] {
        let answer = hub.request(Request::get(&format!("{HUB_PATH}?match=*&{name}={token}")));
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "token-missing"),
            "{name}"
        );
        let request = Request::post(&format!("{HUB_PATH}?{name}={token}"));
        let answer = hub.request(request.form(&[("topic", TOPIC), (name, &token)]));
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "token-missing"),
            "{name}"
        );
    }
}

#[test]
fn the_scheme_is_bearer_in_any_case() {
    let hub = hub();
    let token = token_for_all();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let request = Request::post(HUB_PATH).header("Authorization", &format!("{scheme} {token}"));
        assert_eq!(
            hub.request(request.form(&[("topic", TOPIC)])).status,
            200,
            "{scheme}"
        );
    }
    // Another scheme is a malformed presentation.
    for scheme in ["Token", "JWT", "Basic"] {
        let request = Request::post(HUB_PATH).header("Authorization", &format!("{scheme} {token}"));
        let answer = hub.request(request.form(&[("topic", TOPIC)]));
        assert_eq!(
            (answer.status, challenge(&answer)),
            (400, "Bearer error=\"invalid_request\""),
            "{scheme}"
        );
    }
}

#[test]
fn a_malformed_presentation_gets_400_with_invalid_request() {
    let hub = hub();
    let token = token_for_all();
    for value in [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer \"x\"",
        "Bearer é",
        "Bearer ===",
        "=x",
    ] {
        for request in [
            Request::post(HUB_PATH),
            Request::get(&format!("{HUB_PATH}?match=*")),
        ] {
            let request = request.header("Authorization", value);
            check_malformed(&hub.request(request.form(&[("topic", TOPIC)])), value);
        }
    }
    let twice = Request::post(HUB_PATH)
        .bearer(&token)
        .bearer(&token)
        .form(&[("topic", TOPIC)]);
    check_malformed(&hub.request(twice), "two fields");
}

#[test]
fn a_refusal_leaves_the_connection_usable() {
    let hub = hub();
    let socket = TcpStream::connect(hub.address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut connection = Connection::over(hub.address, socket.try_clone().unwrap());
    let good = Request::post(HUB_PATH)
        .bearer(&token_for_all())
        .form(&[("topic", TOPIC)]);
    let query = Request::new("QUERY", HUB_PATH).form(&[("match", "*")]);
    for (refused, status) in [
        (
            Request::post(HUB_PATH)
                .bearer("a.b.c")
                .form(&[("topic", TOPIC)]),
            401,
        ),
        (Request::post(HUB_PATH).form(&[("topic", TOPIC)]), 401),
        (
            Request::post(HUB_PATH)
                .bearer(&token_for_all())
                .header("Content-Type", "a/b")
                .body("x"),
            415,
        ),
        (query, 401),
    ] {
        // The body comes when the hub has made up its mind already.
        let bytes = connection.wire(&refused);
        let (head, body) = bytes.split_at(bytes.len() - refused.body.len());
        connection.send(head);
        wait_until_read(&socket);
        connection.send(body);
        assert_eq!(connection.read_answer(false).status, status);
        assert_eq!(connection.request(&good).status, 200, "after a {status}");
    }
}

#[test]
fn a_malformed_request_gets_400_without_a_challenge() {
    let hub = hub();
    let answer = hub.request(Request::get(HUB_PATH).bearer(&token_for_all()));
    assert_eq!((answer.status, answer.challenge()), (400, None));
    let answer = hub.publish_as(&token_for_all(), &[("data", "no topic")]);
    assert_eq!((answer.status, answer.challenge()), (400, None));
}
