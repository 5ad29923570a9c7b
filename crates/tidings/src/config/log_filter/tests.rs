//! Which filters are read, and what is said of those that are not.

use super::*;

#[test]
fn levels_and_targets_are_read() {
    for text in [
        "info",
        "WARN",
        "off",
        "info,tidings=debug",
        " info , tidings::access=off ",
        "tidings=trace",
    ] {
        assert!(LogFilter::parse(text).is_ok(), "{text}");
    }
    let filter = LogFilter::parse("tidings=debug").unwrap().into_targets();
    assert!(filter.would_enable("tidings::http", &tracing::Level::DEBUG));
    assert!(filter.would_enable("hyper", &tracing::Level::ERROR));
    assert!(!filter.would_enable("hyper", &tracing::Level::WARN));
}

#[test]
fn libraries_that_narrate_are_silent_unless_they_are_asked() {
    for (text, level) in [
        ("info", None),
        ("error,tidings=debug", None),
        ("debug", Some(tracing::Level::DEBUG)),
        ("info,async_nats=warn", Some(tracing::Level::WARN)),
    ] {
        let filter = LogFilter::parse(text).unwrap().into_targets();
        let enables = |level: &tracing::Level| filter.would_enable("async_nats::connector", level);
        let most = [
            tracing::Level::DEBUG,
            tracing::Level::WARN,
            tracing::Level::ERROR,
        ];
        let most = most.into_iter().find(enables);
        assert_eq!(most, level, "{text}");
    }
}

#[test]
fn what_is_no_level_is_named_with_the_nearest_one() {
    for (text, found, nearest) in [
        ("verbose", "verbose", "debug"),
        ("Warning", "Warning", "warn"),
        ("inf", "inf", "info"),
        ("info,tidings=degub", "degub", "debug"),
        ("tidings=", "", "off"),
    ] {
        let error = LogFilter::parse(text).unwrap_err();
        let (found, nearest) = (found.to_owned(), nearest.to_owned());
        assert_eq!(
            error,
            LogFilterError::UnknownLevel { found, nearest },
            "{text}"
        );
    }
    for text in ["3", "tidings", "info,[span]", "loud"] {
        let unknown = matches!(
            LogFilter::parse(text),
            Err(LogFilterError::UnknownLevel { .. })
        );
        assert!(unknown, "{text}");
    }
    let (a, b, c) = ("", "info,", "=info");
    assert!(matches!(
        LogFilter::parse(a),
        Err(LogFilterError::Empty { .. })
    ));
    assert!(matches!(
        LogFilter::parse(b),
        Err(LogFilterError::Empty { .. })
    ));
    assert!(matches!(
        LogFilter::parse(c),
        Err(LogFilterError::Target { .. })
    ));
    for text in ["info,debug", "tidings=info,tidings=warn"] {
        let twice = matches!(LogFilter::parse(text), Err(LogFilterError::Twice { .. }));
        assert!(twice, "{text}");
    }
}
