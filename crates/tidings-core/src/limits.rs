//! All limits of the core, by name. Other crates use these and define no second limit for the same
//! thing; limits of bytes on the wire and of connections are in the server's options.

/// Bytes in one topic.
///
/// Mercure, "Publication": hubs should limit the length of individual fields (413).
pub const TOPIC_BYTES_MAX: usize = 4096;

/// Bytes in one matcher's pattern, whatever its type.
///
/// Mercure, "Subscription": a pattern over the limit is answered with 400.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Groups, wildcards and names (`{`, `(`, `*`, `:` that are not escaped) in one URL pattern.
///
/// They decide what a pattern costs to compile and to test; literal text is nearly free.
/// Mercure, "URL-Pattern Denial of Service".
pub const PATTERN_GROUPS_MAX: usize = 64;

/// Bytes that the compiled regular expressions of one URL pattern or URI template may take.
///
/// Testing costs one lookup for each byte of the topic, whatever the expression. This limit bounds
/// memory and the time to compile: the worst patterns tried are refused after some milliseconds.
///
/// Mercure, "URL-Pattern Denial of Service".
pub const PATTERN_REGEX_BYTES_MAX: usize = 16 * 1024;

/// Character classes (`[…]`, `\w`, `\p{L}`) in a regular expression that contains a Unicode class.
///
/// With case ignored, parsing such a class takes up to half a millisecond.
pub const PATTERN_CLASSES_MAX: usize = 8;

/// Matchers of one subscriber.
///
/// Mercure, "Subscription": a request with more is answered with 400.
pub const MATCHERS_PER_SUBSCRIBER_MAX: usize = 100;

/// Topic selectors of one subscriber of Mercure before 1.0, whose hubs accepted as many.
pub const SELECTORS_PER_SUBSCRIBER_MAX: usize = 1000;

/// Topics of one update, the canonical one included.
///
/// Mercure, "Publication": a request with more is answered with 413.
pub const TOPICS_PER_UPDATE_MAX: usize = 1000;

/// Bytes in one target of an update of Mercure before 0.8.
pub const TARGET_BYTES_MAX: usize = 4096;

/// Targets of one update of Mercure before 0.8.
pub const TARGETS_PER_UPDATE_MAX: usize = 1000;

/// Bytes in one event id that a publisher supplies.
pub const EVENT_ID_BYTES_MAX: usize = 1024;

/// Bytes in one event type.
pub const EVENT_TYPE_BYTES_MAX: usize = 256;

/// Mercure authorization details in one token.
///
/// Mercure, "Authorization Details": a token with more is answered with 401 `invalid_token`.
pub const TOKEN_DETAILS_MAX: usize = 100;

/// Matchers in one token, over all its authorization details.
///
/// Mercure, "Authorization Details": a token with more is answered with 401 `invalid_token`.
pub const TOKEN_MATCHERS_MAX: usize = 1000;

/// Topic selectors or targets for one action in one token of Mercure before 1.0.
///
/// The hubs of 0.24 accepted as many.
pub const TOKEN_SELECTORS_MAX: usize = 1000;

/// Bytes in the body of one publication, unless the configuration says otherwise.
pub const PUBLISH_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes in the hub's own URL.
pub const HUB_URL_BYTES_MAX: usize = 2048;
