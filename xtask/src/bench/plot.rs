//! Draws the samples of a soak as one SVG: panels below each other, with a common time axis.
//!
//! Plain text without scripts, in colours that are readable on light and dark backgrounds.

use std::fmt::Write as _;

use super::series::{Samples, Series};

const WIDTH: f64 = 800.0;
const PANEL: f64 = 110.0;
const GAP: f64 = 42.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 44.0;

/// A panel of the picture: a title with its unit, and its lines.
struct Panel {
    title: &'static str,
    lines: Vec<(&'static str, &'static str, Series)>,
}

/// Returns the picture.
pub fn draw(samples: &Samples, title: &str) -> String {
    let panels = panels(samples);
    let minutes = samples
        .series("ms")
        .points
        .last()
        .map_or(1.0, |point| point.0);
    let count = panels.iter().map(|_| 1.0).sum::<f64>();
    let height = TOP + count * (PANEL + GAP) - GAP + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n{STYLE}\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"24\">{title}</text>\n"
    );
    let mut top = TOP;
    for panel in &panels {
        panel.draw(&mut svg, top, minutes);
        top += PANEL + GAP;
    }
    time_axis(&mut svg, top - GAP, minutes);
    svg.push_str("</svg>\n");
    svg
}

fn panels(samples: &Samples) -> Vec<Panel> {
    let mebibytes = 1.0 / (1024.0 * 1024.0);
    let memory = samples.series("resident_bytes").times(mebibytes);
    let file = samples.series("data_bytes").times(mebibytes);
    let cpu = samples.rate("cpu_ms").times(0.1);
    let one = |title, series| Panel {
        title,
        lines: vec![("", "a", series)],
    };
    vec![
        one("resident memory of the hub, MiB", memory),
        one("files of the history, MiB", file),
        Panel {
            title: "open files of the hub, and subscribers",
            lines: vec![
                ("open files", "a", samples.series("open_files")),
                ("subscribers", "b", samples.series("subscribers")),
            ],
        },
        one("CPU time of the hub, % of one core", cpu),
        Panel {
            title: "updates a second: delivered, and of these replayed",
            lines: vec![
                ("delivered", "a", samples.rate("delivered")),
                ("replayed_updates", "b", samples.rate("replayed_updates")),
            ],
        },
        one(
            "times a subscriber fell behind, per second",
            samples.rate("lagging"),
        ),
    ]
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64, minutes: f64) {
        let values = self.lines.iter().flat_map(|(_, _, series)| &series.points);
        let highest = values.map(|(_, value)| *value).fold(0.0, f64::max);
        let step = step(highest.max(1e-9) / 3.0);
        let full = (highest / step).ceil().max(1.0) * step;
        let y = |value: f64| top + PANEL * (1.0 - value / full);
        add(
            svg,
            format_args!(
                "<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>\n",
                top - 8.0,
                self.title
            ),
        );
        let right = WIDTH - RIGHT;
        let mut mark = 0.0;
        while mark <= full * 1.001 {
            let at = y(mark);
            add(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                    LEFT - 6.0,
                    at + 4.0,
                    label(mark, step),
                ),
            );
            mark += step;
        }
        let mut key = right;
        for (name, class, series) in self.lines.iter().rev() {
            let points: Vec<String> = (series.points.iter())
                .map(|(x, value)| format!("{:.1},{:.1}", place(*x, minutes), y(*value)))
                .collect();
            add(
                svg,
                format_args!(
                    "<polyline class=\"{class}\" points=\"{}\"/>\n",
                    points.join(" ")
                ),
            );
            if !name.is_empty() {
                add(
                    svg,
                    format_args!(
                        "<text class=\"end {class}\" x=\"{key:.1}\" y=\"{:.1}\">{name}</text>\n",
                        top - 8.0,
                    ),
                );
                key -= 90.0;
            }
        }
    }
}

fn time_axis(svg: &mut String, bottom: f64, minutes: f64) {
    let step = step(minutes / 6.0);
    let mut mark = 0.0;
    while mark <= minutes * 1.001 {
        add(
            svg,
            format_args!(
                "<text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                place(mark, minutes),
                bottom + 18.0,
                label(mark, step),
            ),
        );
        mark += step;
    }
    let middle = place(minutes / 2.0, minutes);
    let below = bottom + 36.0;
    add(
        svg,
        format_args!("<text class=\"middle\" x=\"{middle:.1}\" y=\"{below:.1}\">minutes</text>\n"),
    );
}

fn place(minute: f64, minutes: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * minute / minutes.max(1e-9)
}

/// Returns the first of 1, 2, 5, 10, 20 … that is not less than `least`.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let wanted = [1.0, 2.0, 5.0].map(|digit| digit * power);
    wanted
        .into_iter()
        .find(|step| *step >= least * 0.999)
        .unwrap_or(10.0 * power)
}

fn label(value: f64, step: f64) -> String {
    if step >= 1.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn add(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _written = svg.write_fmt(text);
}

const STYLE: &str = "<style>\n\
    text { font: 12px sans-serif; fill: #24292f; }\n\
    .title { font-size: 15px; font-weight: bold; }\n\
    .end { text-anchor: end; } .middle { text-anchor: middle; }\n\
    .paper { fill: #ffffff; } .grid { stroke: #d0d7de; }\n\
    polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round; }\n\
    polyline.a { stroke: #0969da; } polyline.b { stroke: #bc4c00; }\n\
    text.a { fill: #0969da; } text.b { fill: #bc4c00; }\n\
    @media (prefers-color-scheme: dark) {\n\
    text { fill: #e6edf3; } .paper { fill: #0d1117; } .grid { stroke: #30363d; }\n\
    polyline.a { stroke: #58a6ff; } polyline.b { stroke: #f0883e; }\n\
    text.a { fill: #58a6ff; } text.b { fill: #f0883e; }\n\
    }\n</style>\n";

#[cfg(test)]
mod tests {
    use super::{label, step};

    #[test]
    fn steps_of_an_axis_are_round() {
        for (least, expected) in [
            (0.3, "0.50"),
            (1.0, "1"),
            (1.1, "2"),
            (7.0, "10"),
            (333.0, "500"),
        ] {
            let step = step(least);
            assert_eq!(label(step, step), expected, "{least}");
        }
    }
}
