//! The report as a page that needs nothing else: no script, no other file, no network.

use std::fmt::Write as _;

use p2pcdn::metrics::{Delivery, HttpReason};

use super::{
    Figures, Setting, Warning,
    curves::Curves,
    plot::{Axis, Bar, Line, Look, Plot, Scale, Shape, bars, escaped},
    rows,
};
use crate::world::Outcome;

/// One self-contained HTML document.
#[must_use]
pub fn html(
    setting: &Setting<'_>,
    figures: &Figures,
    outcome: &Outcome,
    warnings: &[Warning],
) -> String {
    let headline = escaped(&rows::headline(setting));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>p2pcdn simulation, {headline}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>p2pcdn simulation</h1>\n<p>{headline}</p>\n"
    );
    for warning in warnings {
        let warning = escaped(&warning.to_string());
        let _ = writeln!(
            page,
            "<p class=\"warning\"><strong>Warning:</strong> {warning}</p>"
        );
    }
    for figure in drawings(&Curves::new(setting, outcome), figures) {
        page.push_str(&figure);
    }
    table(&mut page, setting, figures);
    page.push_str("</body>\n</html>\n");
    page
}

fn drawings(curves: &Curves, figures: &Figures) -> [String; 6] {
    [
        efficiency(curves, figures),
        copies(curves),
        buffers(curves),
        stalls(curves),
        bytes_by_reason(figures),
        control(curves),
    ]
}

fn efficiency(curves: &Curves, figures: &Figures) -> String {
    let mut lines = vec![Line {
        name: "peer efficiency of the last 10 s",
        look: Look::Hybrid,
        points: curves.efficiency.clone(),
    }];
    if let Some(bound) = figures.bound {
        lines.push(level("bound of the steady part", bound, &curves.efficiency));
    }
    drawing(
        "efficiency",
        "Efficiency over time",
        "The share of media bytes that came from peers: the nearer to the bound, the less is left \
         to win.",
        &Plot {
            x: time(),
            y: Axis {
                label: "share of bytes from peers",
                end: Some(1.0),
                scale: Scale::Linear,
            },
            lines,
            shape: Shape::Sloping,
        },
    )
}

fn copies(curves: &Curves) -> String {
    let copies = || curves.copies.iter().map(|(_, copies)| *copies);
    // A crowd that starts over HTTP would leave of all others no more than a line at the bottom.
    let (scale, label) = match copies().fold(0.0, f64::max) > CROWD_MIN {
        true => (Scale::Logarithmic, "HTTP copies, logarithmic"),
        false => (Scale::Linear, "HTTP copies"),
    };
    drawing(
        "copies",
        "HTTP copies per segment",
        "How many times the bytes of each segment left the edges; one copy is the least for viewers \
         that can all reach one another.",
        &Plot {
            x: Axis {
                label: "segment",
                end: None,
                scale: Scale::Linear,
            },
            y: Axis {
                label,
                end: None,
                scale,
            },
            lines: vec![
                Line {
                    name: "with peers",
                    look: Look::Hybrid,
                    points: curves.copies.clone(),
                },
                level("one copy", 1.0, &curves.copies),
            ],
            shape: Shape::Sloping,
        },
    )
}

fn buffers(curves: &Curves) -> String {
    let line = |name, look, points: &Vec<(f64, f64)>| Line {
        name,
        look,
        points: points.clone(),
    };
    let [low, middle, high] = &curves.buffer.hybrid;
    let [twin_low, twin_middle, _] = &curves.buffer.twin;
    drawing(
        "buffers",
        "Buffer levels",
        "Media ahead of the playhead: waiting for peers spends it, and where the lower lines reach \
         zero viewers stall.",
        &Plot {
            x: time(),
            y: Axis {
                label: "buffer, s",
                end: None,
                scale: Scale::Linear,
            },
            lines: vec![
                line(
                    "with peers, 5 % and 95 % of viewers",
                    Look::HybridFaint,
                    low,
                ),
                line("", Look::HybridFaint, high),
                line("with peers, median", Look::Hybrid, middle),
                line("HTTP alone, median and 5 %", Look::Twin, twin_middle),
                line("", Look::Twin, twin_low),
            ],
            shape: Shape::Sloping,
        },
    )
}

fn stalls(curves: &Curves) -> String {
    let line = |name, look, points: &Vec<(f64, f64)>| Line {
        name,
        look,
        points: points.clone(),
    };
    drawing(
        "stalls",
        "Stalls of viewers",
        "The share of viewers that stood still for at most so many seconds: the higher a line, the \
         better for viewers.",
        &Plot {
            x: Axis {
                label: "stalled, s",
                end: None,
                scale: Scale::Linear,
            },
            y: Axis {
                label: "share of viewers",
                end: Some(1.0),
                scale: Scale::Linear,
            },
            lines: vec![
                line("with peers", Look::Hybrid, &curves.stalls.hybrid),
                line("HTTP alone", Look::Twin, &curves.stalls.twin),
            ],
            shape: Shape::Steps,
        },
    )
}

fn bytes_by_reason(figures: &Figures) -> String {
    let hybrid = &figures.delivery.hybrid;
    let whole = hybrid.peer_bytes + hybrid.http_total_bytes();
    let bar = |name: &str, count: u64, look| {
        let bytes = rows::bytes(count);
        let percent = count as f64 * 100.0 / whole.max(1) as f64;
        Bar {
            name: format!("{name}: {bytes}, {percent:.2} %"),
            value: count as f64,
            look,
        }
    };
    let mut all = vec![bar("from peers", hybrid.peer_bytes, Look::HybridFaint)];
    for reason in HttpReason::ALL {
        let count = hybrid.http_bytes.of(reason);
        if count > 0 {
            all.push(bar(&format!("HTTP, {reason}"), count, Look::Hybrid));
        }
    }
    if hybrid.map_bytes > 0 {
        all.push(bar("HTTP, block maps", hybrid.map_bytes, Look::Hybrid));
    }
    let twin = Delivery::http_total_bytes(&figures.delivery.twin);
    all.push(bar("HTTP alone, everything", twin, Look::Twin));
    let (id, title) = ("reasons", "Bytes by reason");
    let says = "What came from peers, and why the rest was asked of HTTP; in bytes and in percent \
                of all that viewers with peers received.";
    figure(title, says, &bars(&all, id, title, says), &[])
}

fn control(curves: &Curves) -> String {
    drawing(
        "control",
        "Control bytes",
        "Peer traffic that is not content, against the media of the same 10 s; it is to stay below \
         3 %.",
        &Plot {
            x: time(),
            y: Axis {
                label: "% of media bytes",
                end: None,
                scale: Scale::Linear,
            },
            lines: vec![
                Line {
                    name: "control bytes",
                    look: Look::Hybrid,
                    points: curves.control.clone(),
                },
                level("limit", CONTROL_PERCENT_MAX, &curves.control),
            ],
            shape: Shape::Sloping,
        },
    )
}

fn time() -> Axis<'static> {
    Axis {
        label: "s since the first arrival",
        end: None,
        scale: Scale::Linear,
    }
}

/// A horizontal line as long as `along`.
fn level<'a>(name: &'a str, value: f64, along: &[(f64, f64)]) -> Line<'a> {
    let end = along.last().map_or(1.0, |(x, _)| *x);
    Line {
        name,
        look: Look::Limit,
        points: vec![(0.0, value), (end, value)],
    }
}

fn drawing(id: &str, title: &str, says: &str, plot: &Plot<'_>) -> String {
    let named = plot.lines.iter().filter(|line| !line.name.is_empty());
    let legend: Vec<(&str, Look)> = named.map(|line| (line.name, line.look)).collect();
    figure(title, says, &plot.svg(id, title, says), &legend)
}

fn figure(title: &str, says: &str, svg: &str, legend: &[(&str, Look)]) -> String {
    let mut html = format!(
        "<figure>\n<h2>{}</h2>\n<p>{}</p>\n{svg}",
        escaped(title),
        escaped(says)
    );
    if !legend.is_empty() {
        html.push_str("<figcaption>\n");
        for (name, look) in legend {
            let (line, name) = (look.css(), escaped(name));
            let _ = writeln!(html, "<span><i style=\"{line}\"></i> {name}</span>");
        }
        html.push_str("</figcaption>\n");
    }
    html.push_str("</figure>\n");
    html
}

fn table(page: &mut String, setting: &Setting<'_>, figures: &Figures) {
    page.push_str("<h2>Figures</h2>\n<div class=\"table\">\n<table>\n");
    for section in rows::sections(setting, figures) {
        let _ = writeln!(
            page,
            "<tbody>\n<tr><th scope=\"rowgroup\">{}</th><th scope=\"col\">with peers</th>\
             <th scope=\"col\">HTTP alone</th><th scope=\"col\"></th></tr>",
            escaped(section.name)
        );
        for row in &section.rows {
            let class = if row.name.starts_with(' ') {
                " class=\"part\""
            } else {
                ""
            };
            let _ = writeln!(
                page,
                "<tr><th scope=\"row\"{class}>{}</th><td>{}</td><td>{}</td><td class=\"note\">{}</td></tr>",
                escaped(row.name.trim_start()),
                escaped(&row.hybrid),
                escaped(&row.twin),
                escaped(&row.note)
            );
        }
        page.push_str("</tbody>\n");
    }
    page.push_str("</table>\n</div>\n");
}

const STYLE: &str = "
body{max-width:44rem;margin:0 auto;padding:1rem;font:1rem/1.5 system-ui,sans-serif;color:#222;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:0}
figure{margin:2rem 0}figure p{margin:.25rem 0}
svg{display:block;width:100%;height:auto}
figcaption span{display:inline-block;margin-right:1.5rem}
figcaption i{display:inline-block;width:1.75rem;vertical-align:middle}
.warning{padding:.5rem .75rem;border-left:4px solid #c85000;background:#fff4ea}
.table{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
th,td{padding:.15rem .75rem .15rem 0;text-align:left;vertical-align:top;font-weight:normal}
td,th[scope=col]{text-align:right;white-space:nowrap}
th[scope=rowgroup],th[scope=col]{padding-top:1rem;font-weight:bold}
td.note{text-align:left;white-space:normal;min-width:14rem;color:#555}
.part{padding-left:1rem}
";

/// More copies than this cannot be read off an axis together with one.
const CROWD_MIN: f64 = 50.0;

/// The third promise of the design.
const CONTROL_PERCENT_MAX: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    fn page(preset: &str, outcome: &Outcome) -> String {
        let mut scenario = testing::scenario();
        scenario.preset = preset.to_owned();
        let setting = testing::setting(&scenario);
        let figures = Figures::new(&setting, outcome);
        let warnings = figures.warnings(&setting, outcome);
        html(&setting, &figures, outcome, &warnings)
    }

    /// Every tag is closed, in order.
    fn assert_well_formed(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in page.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a tag has an end");
            let name = tag.split([' ', '\n']).next().unwrap();
            match name.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed)),
                None if tag.ends_with('/') || ["!DOCTYPE", "meta"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert_eq!(open, [""; 0]);
    }

    #[test]
    fn the_page_has_the_six_plots_each_with_a_title_and_a_description() {
        let page = page("small", &testing::outcome());
        assert_well_formed(&page);
        assert_eq!(page.matches("<svg ").count(), 6);
        for id in [
            "efficiency",
            "copies",
            "buffers",
            "stalls",
            "reasons",
            "control",
        ] {
            assert_eq!(
                page.matches(&format!("<title id=\"{id}-title\">")).count(),
                1
            );
            assert_eq!(page.matches(&format!("<desc id=\"{id}-desc\">")).count(), 1);
        }
        for label in [
            "s since the first arrival",
            "buffer, s",
            "stalled, s",
            "% of media bytes",
        ] {
            assert!(page.contains(label), "{label}");
        }
        assert!(page.contains("HTTP, duty: 150 B, 15.00 %"));
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page("small", &testing::outcome());
        for outside in [
            "http:", "https:", "<script", "<link", "<img", "src=", "href=", "url(", "@import",
        ] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn names_from_outside_are_escaped() {
        let page = page("<b onload=\"x\">", &testing::outcome());
        assert!(!page.contains("<b "));
        assert!(page.contains("&lt;b onload=&quot;x&quot;&gt;"));
        assert_well_formed(&page);
    }

    #[test]
    fn a_run_without_anything_has_a_page_with_a_warning() {
        let page = page("small", &Outcome::default());
        assert_well_formed(&page);
        assert!(page.contains("nobody played anything"));
        assert!(!page.contains("NaN"));
    }
}
