//! Progress bars on a terminal. Without a terminal nothing is shown.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Makes a bar for `total` steps. It is shown on standard error if that is a terminal.
pub(crate) fn bar(what: &'static str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:14} {wide_bar} {pos}/{len} {elapsed}");
    let bar = ProgressBar::new(total).with_message(what);
    // The template is constant. If it were invalid, the default style would be used.
    style
        .map(|style| bar.clone().with_style(style))
        .unwrap_or(bar)
}

/// Waits for `duration`, and shows the remaining time.
pub(crate) fn pause(what: &'static str, duration: Duration) {
    let step = Duration::from_millis(100);
    let steps = u64::try_from(duration.as_millis() / step.as_millis()).unwrap_or(u64::MAX);
    let bar = bar(what, steps);
    for _ in 0..steps {
        std::thread::sleep(step);
        bar.inc(1);
    }
    bar.finish_and_clear();
}
