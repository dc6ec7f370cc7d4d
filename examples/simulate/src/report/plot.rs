//! Plots as inline SVG.

use std::ops::Range;

use plotters::{
    coord::Shift,
    drawing::DrawingAreaErrorKind,
    prelude::{
        BLACK, ChartBuilder, Color, DashedLineSeries, DrawingArea, IntoDrawingArea, IntoFont,
        IntoTextStyle, LineSeries, RGBColor, Rectangle, SVGBackend, Text, WHITE,
    },
};

use super::curves::Points;

/// Lines over two axes.
pub(super) struct Plot<'a> {
    pub(super) x: Axis<'a>,
    pub(super) y: Axis<'a>,
    pub(super) lines: Vec<Line<'a>>,
    /// Whether values hold up to the next one, instead of moving towards it.
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Sloping,
    Steps,
}

/// An axis from zero, or on a logarithmic scale from `LOG_LEAST`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis<'a> {
    pub(super) label: &'a str,
    /// It ends here, or with the largest value when `None`.
    pub(super) end: Option<f64>,
    pub(super) scale: Scale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Logarithmic,
}

pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) look: Look,
    pub(super) points: Points,
}

/// Told apart without colours too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The world with peers.
    Hybrid,
    /// The world with peers, where it is not the main line.
    HybridFaint,
    /// The world over HTTP alone.
    Twin,
    /// A bound or a limit.
    Limit,
}

/// A bar with its text above it.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) look: Look,
}

impl Look {
    fn colour(self) -> RGBColor {
        match self {
            Self::Hybrid => RGBColor(0, 90, 156),
            Self::HybridFaint => RGBColor(120, 170, 210),
            Self::Twin => RGBColor(200, 80, 0),
            Self::Limit => RGBColor(90, 90, 90),
        }
    }

    /// For the legend.
    pub(super) fn css(self) -> String {
        let RGBColor(red, green, blue) = self.colour();
        let line = if self.is_dashed() { "dashed" } else { "solid" };
        format!("border-top:3px {line} rgb({red},{green},{blue})")
    }

    fn is_dashed(self) -> bool {
        matches!(self, Self::Twin | Self::Limit)
    }
}

impl Axis<'_> {
    /// Where a value is on the axis.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(LOG_LEAST).log10(),
        }
    }

    fn range(&self, values: impl Iterator<Item = f64>) -> Range<f64> {
        let start = match self.scale {
            Scale::Linear => 0.0,
            Scale::Logarithmic => LOG_LEAST.log10(),
        };
        let largest = values.map(|value| self.place(value)).fold(start, f64::max);
        let end = self.end.map_or(largest * 1.05, |end| self.place(end));
        start..if end > start { end } else { start + 1.0 }
    }

    fn tick(&self, place: f64) -> String {
        let value = match self.scale {
            Scale::Linear => place,
            Scale::Logarithmic => 10f64.powf(place),
        };
        // As many digits as tell neighbouring ticks apart.
        let digits = match value.abs() {
            large if large >= 10.0 => 0,
            small if small >= 1.0 || small == 0.0 => 1,
            _ => 2,
        };
        let text = format!("{value:.digits$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    }
}

impl Plot<'_> {
    /// An `<svg>` element with this id, title and description.
    pub(super) fn svg(&self, id: &str, title: &str, description: &str) -> String {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            self.draw(&area).expect(TO_A_STRING);
        }
        described(&svg, id, title, description)
    }

    fn draw(&self, area: &Area<'_>) -> Result<(), Failure> {
        area.fill(&WHITE)?;
        let points = || {
            self.lines
                .iter()
                .flat_map(|line| line.points.iter().copied())
        };
        let x_range = self.x.range(points().map(|(x, _)| x));
        let y_range = self.y.range(points().map(|(_, y)| y));
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(x_range.clone(), y_range)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .x_labels(6)
            .y_labels(6)
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .x_label_formatter(&|place| self.x.tick(*place))
            .y_label_formatter(&|place| self.y.tick(*place))
            .label_style(("sans-serif", FONT_SIZE).into_font())
            .axis_desc_style(("sans-serif", FONT_SIZE).into_font())
            .draw()?;
        for line in &self.lines {
            let style = line.look.colour().stroke_width(2);
            let points = self.placed(line, x_range.end);
            if line.look.is_dashed() {
                chart.draw_series(DashedLineSeries::new(points, 6, 4, style))?;
            } else {
                chart.draw_series(LineSeries::new(points, style))?;
            }
        }
        area.present()
    }

    fn placed(&self, line: &Line<'_>, x_end: f64) -> Points {
        let points = line.points.iter();
        let finite = points.filter(|(x, y)| x.is_finite() && y.is_finite());
        let mut placed: Points = Vec::new();
        for (x, y) in finite {
            let point = (self.x.place(*x), self.y.place(*y));
            let level = placed.last().map(|(_, y)| *y);
            if let (Shape::Steps, Some(level)) = (self.shape, level) {
                placed.push((point.0, level));
            }
            placed.push(point);
        }
        if let (Shape::Steps, Some((_, level))) = (self.shape, placed.last().copied()) {
            placed.push((x_end, level));
        }
        placed
    }
}

/// Bars from the left, one below the other, each with its text above it.
pub(super) fn bars(bars: &[Bar], id: &str, title: &str, description: &str) -> String {
    let mut svg = String::new();
    let height = BAR_HEIGHT * u32::try_from(bars.len().max(1)).unwrap_or(1);
    {
        let area = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
        draw_bars(&area, bars).expect(TO_A_STRING);
    }
    described(&svg, id, title, description)
}

fn draw_bars(area: &Area<'_>, bars: &[Bar]) -> Result<(), Failure> {
    area.fill(&WHITE)?;
    let largest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let width = f64::from(SIZE.0 - 2 * BAR_MARGIN);
    let font = ("sans-serif", FONT_SIZE).into_text_style(area);
    let mut top = 0;
    for bar in bars {
        let share = if largest > 0.0 {
            bar.value / largest
        } else {
            0.0
        };
        let left = i32::try_from(BAR_MARGIN).unwrap_or(0);
        // At most the width of the drawing; what is there is never invisible.
        let length = ((share * width) as i32).max(i32::from(bar.value > 0.0));
        area.draw(&Text::new(bar.name.as_str(), (left, top + 4), font.clone()))?;
        let corners = [(left, top + 24), (left + length, top + 36)];
        area.draw(&Rectangle::new(corners, bar.look.colour().filled()))?;
        top += i32::try_from(BAR_HEIGHT).unwrap_or(0);
    }
    area.present()
}

/// The drawing with what a reader of the screen aloud says; what plotters makes has no place for it.
fn described(svg: &str, id: &str, title: &str, description: &str) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let (width, height) = dimensions(svg);
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>{body}",
        escaped(title),
        escaped(description)
    )
}

/// As the drawing says itself: bars are as high as there are many.
fn dimensions(svg: &str) -> (u32, u32) {
    let mut numbers = svg.split('"').filter_map(|part| part.parse().ok());
    (
        numbers.next().unwrap_or(SIZE.0),
        numbers.next().unwrap_or(SIZE.1),
    )
}

/// Text that is safe within an element and within a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

type Failure = DrawingAreaErrorKind<std::io::Error>;

const TO_A_STRING: &str = "a drawing into a string has no file that could fail";

/// Narrow, so that text stays readable when a phone shrinks it.
const SIZE: (u32, u32) = (560, 340);

/// Of which plotters makes 14 px.
const FONT_SIZE: u32 = 18;

const BAR_HEIGHT: u32 = 44;

const BAR_MARGIN: u32 = 8;

/// A tenth of a copy is as good as none.
const LOG_LEAST: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale, end: Option<f64>) -> Axis<'static> {
        Axis {
            label: "s",
            end,
            scale,
        }
    }

    #[test]
    fn an_axis_holds_its_values_and_is_never_empty() {
        let linear = axis(Scale::Linear, None);
        assert_eq!(linear.range([2.0, 100.0, 5.0].into_iter()), 0.0..105.0);
        assert_eq!(linear.range([0.0].into_iter()), 0.0..1.0);
        assert_eq!(linear.range([].into_iter()), 0.0..1.0);
        let to_one = axis(Scale::Linear, Some(1.0));
        assert_eq!(to_one.range([0.2].into_iter()), 0.0..1.0);
    }

    #[test]
    fn ticks_of_a_logarithmic_axis_are_values() {
        let copies = axis(Scale::Logarithmic, None);
        assert_eq!(copies.place(1_000.0), 3.0);
        assert_eq!(copies.place(0.0), -1.0);
        assert_eq!(
            (copies.tick(2.0), copies.tick(-1.0)),
            ("100".into(), "0.1".into())
        );
        let share = axis(Scale::Linear, None);
        assert_eq!(
            (share.tick(0.2), share.tick(0.0)),
            ("0.2".into(), "0".into())
        );
        assert_eq!(share.tick(120.0), "120");
    }

    #[test]
    fn steps_hold_a_value_up_to_the_next_and_to_the_end() {
        let line = Line {
            name: "",
            look: Look::Hybrid,
            points: vec![(0.0, 0.5), (3.0, 1.0), (f64::NAN, 1.0)],
        };
        let plot = Plot {
            x: axis(Scale::Linear, None),
            y: axis(Scale::Linear, None),
            lines: Vec::new(),
            shape: Shape::Steps,
        };
        assert_eq!(
            plot.placed(&line, 9.0),
            [(0.0, 0.5), (3.0, 0.5), (3.0, 1.0), (9.0, 1.0)]
        );
    }

    #[test]
    fn a_drawing_says_its_title_and_description_with_nothing_unescaped() {
        let svg = bars(&[], "b", "a < b", "\"c\" & 'd'");
        assert!(svg.starts_with("<svg viewBox=\"0 0 560 44\" role=\"img\""));
        assert!(svg.contains("<title id=\"b-title\">a &lt; b</title>"));
        assert!(svg.contains(">&quot;c&quot; &amp; &#39;d&#39;</desc>"));
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
