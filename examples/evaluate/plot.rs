//! Quality against cost, as a picture.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use srup_examples::Failure;

use crate::method::BASELINES;
use crate::report::{Measured, Row};

const SIZE: (u32, u32) = (860, 540);
const RADIUS: i32 = 5;
const FONT: &str = "sans-serif";
const LETTERS: i32 = 15;
/// Of networks and of plain resampling; both can be told apart from each other and from white in print, too.
const INK: [RGBColor; 2] = [RGBColor(0x1b, 0x5e, 0xa8), RGBColor(0x8a, 0x5a, 0x00)];
const GREY: RGBColor = RGBColor(0x70, 0x70, 0x70);

/// The plot as SVG: cost along the rows on a logarithmic scale, quality up the columns.
///
/// # Errors
/// One line.
pub fn svg(measured: &Measured) -> Result<String, Failure> {
    let mut text = String::new();
    draw(&SVGBackend::with_string(&mut text, SIZE).into_drawing_area(), measured)
        .map_err(|error| Failure::new(format_args!("the plot cannot be drawn: {error}")))?;
    Ok(text)
}

fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, measured: &Measured) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let rows: Vec<&Row> = measured.rows.iter().filter(|row| row.psnr.is_finite() && row.ms_per_mp > 0.0).collect();
    let (costs, decibels) = ranges(&rows, measured.real_time);
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption(title(measured), (FONT, LETTERS + 1))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(60)
        .build_cartesian_2d(costs.clone().log_scale(), decibels.clone())?;
    chart
        .configure_mesh()
        .x_desc("milliseconds for a million pixels of output (less is faster)")
        .y_desc("Y-PSNR in dB")
        .x_label_formatter(&|ms| format!("{ms}"))
        .y_label_formatter(&|psnr| format!("{psnr:.1}"))
        .label_style((FONT, LETTERS - 2))
        .axis_desc_style((FONT, LETTERS))
        .bold_line_style(GREY.mix(0.25))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let pixels = (chart.plotting_area().get_x_axis_pixel_range(), chart.plotting_area().get_y_axis_pixel_range());
    let within = Patch { x: pixels.0, y: pixels.1 };
    // Labels keep off lines and points.
    let mut taken = Vec::new();
    if let Some(lanczos) = rows.iter().find(|row| row.model == BASELINES[0]) {
        let line = [(costs.start, lanczos.psnr), (costs.end, lanczos.psnr)];
        chart.draw_series(DashedLineSeries::new(line, 6, 5, INK[1].stroke_width(1)))?;
        let (_, y) = chart.backend_coord(&line[0]);
        taken.push(Patch { x: within.x.clone(), y: y - 1..y + 2 });
    }
    if let Some(limit) = measured.real_time {
        let line = [(limit, decibels.start), (limit, decibels.end)];
        chart.draw_series(DashedLineSeries::new(line, 6, 5, GREY.stroke_width(1)))?;
        let (x, y) = chart.backend_coord(&line[0]);
        taken.push(Patch { x: x - 1..x + 2, y: within.y.clone() });
        let style = (FONT, LETTERS - 1).into_font().color(&GREY).pos(Pos::new(HPos::Right, VPos::Bottom));
        area.draw(&Text::new("real time", (x - 6, y - 6), style))?;
        taken.push(Patch { x: x - 80..x, y: y - 24..y });
    }
    let points: Vec<_> = rows.iter().map(|row| chart.backend_coord(&(row.ms_per_mp, row.psnr))).collect();
    taken.extend(points.iter().map(|&point| Patch::around(point)));
    for (row, &(x, y)) in rows.iter().zip(&points) {
        let plain = BASELINES.contains(&row.model.as_str());
        let ink = INK[usize::from(plain)];
        let style = if plain { ink.stroke_width(2) } else { ink.filled() };
        area.draw(&Circle::new((x, y), RADIUS, style))?;
        let label = format!("{} {:.2} dB", row.model, row.psnr);
        let place = Patch::for_label(&label, (x, y), &taken, &within);
        let style = (FONT, LETTERS).into_font().color(&ink).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(label, (place.x.start, (place.y.start + place.y.end) / 2), style))?;
        taken.push(place);
    }
    area.present()?;
    Ok(())
}

/// What was measured, and at which scale; of long names the end.
fn title(measured: &Measured) -> String {
    const LONGEST: usize = 100;
    let scale = measured.rows.first().map_or(String::new(), |row| format!(", x{}", row.scale));
    let text = format!("{}{scale}", measured.what);
    match text.chars().count().checked_sub(LONGEST) {
        None | Some(0) => text,
        Some(surplus) => text.chars().skip(surplus).fold("...".into(), |end, letter| end + &letter.to_string()),
    }
}

/// What the axes span: all rows with room for their labels, and the limit of real time.
fn ranges(rows: &[&Row], real_time: Option<f64>) -> (Range<f64>, Range<f64>) {
    let span = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (low, high) = span(&mut rows.iter().map(|row| row.ms_per_mp).chain(real_time));
    let (least, most) = span(&mut rows.iter().map(|row| row.psnr));
    let room = 0.15 * (most - least).max(0.5);
    if low > high { (0.1..10.0, 0.0..1.0) } else { (low / 2.0..high * 2.0, least - room..most + room) }
}

/// A rectangle of the picture, in pixels.
#[derive(Clone, Debug)]
struct Patch {
    x: Range<i32>,
    y: Range<i32>,
}

impl Patch {
    /// A point's own.
    fn around((x, y): (i32, i32)) -> Self {
        Self { x: x - RADIUS..x + RADIUS, y: y - RADIUS..y + RADIUS }
    }

    /// Where the label of a point does not lie on anything: beside, above or below it, as near as can be.
    fn for_label(label: &str, (x, y): (i32, i32), taken: &[Self], within: &Self) -> Self {
        // No font is at hand to measure with; most letters of most of them are narrower than this.
        let width = (0.55 * f64::from(LETTERS) * label.chars().count() as f64) as i32;
        let at = |x: i32, y: i32| Self { x: x..x + width, y: y - LETTERS / 2..y + LETTERS / 2 };
        let places = (0..8).flat_map(|step| {
            let shift = step * 2 * LETTERS / 3;
            let (left, right, middle) = (x - RADIUS - 4 - width, x + RADIUS + 4, x - width / 2);
            let aside = [at(right, y - shift), at(right, y + shift), at(left, y - shift), at(left, y + shift)];
            aside.into_iter().chain([at(middle, y - shift - LETTERS), at(middle, y + shift + LETTERS)])
        });
        let free = |place: &Self| within.holds(place) && !taken.iter().any(|other| other.meets(place));
        places.clone().find(free).or_else(|| places.clone().next()).unwrap_or_else(|| at(x, y))
    }

    fn meets(&self, other: &Self) -> bool {
        let meet = |a: &Range<i32>, b: &Range<i32>| a.start < b.end && b.start < a.end;
        meet(&self.x, &other.x) && meet(&self.y, &other.y)
    }

    fn holds(&self, other: &Self) -> bool {
        let holds = |a: &Range<i32>, b: &Range<i32>| a.start <= b.start && b.end <= a.end;
        holds(&self.x, &other.x) && holds(&self.y, &other.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(figures: &[(&str, f64, f64)], real_time: Option<f64>) -> Measured {
        let row = |&(model, ms_per_mp, psnr): &(&str, f64, f64)| Row {
            model: model.into(),
            ms_per_mp,
            psnr,
            ..Row::default()
        };
        Measured { what: "a & b <c>".into(), rows: figures.iter().map(row).collect(), advice: None, real_time }
    }

    #[test]
    fn every_method_is_there_with_its_name_and_the_file_parses() {
        let figures = [("luma-s", 5.0, 36.9), ("luma-m", 30.0, 37.2), ("lanczos", 2.0, 34.3), ("bicubic", 1.5, 33.7)];
        let text = svg(&measured(&figures, Some(12.0))).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let all = |tag: &str| document.descendants().filter(|node| node.has_tag_name(tag)).count();
        let words: String = document.descendants().filter_map(|node| node.text()).collect();
        assert_eq!(all("circle"), figures.len());
        for word in
            ["luma-s 36.90 dB", "luma-m 37.20 dB", "lanczos 34.30 dB", "bicubic 33.70 dB", "real time", "a & b <c>"]
        {
            assert!(words.contains(word), "{word} in {words}");
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        assert!(svg(&measured(&[], None)).is_ok());
        let text = svg(&measured(&[("flat", 3.0, f64::INFINITY), ("one", 2.0, 30.0)], None)).unwrap();
        assert!(text.contains("one 30.00 dB") && !text.contains("flat"));
    }

    #[test]
    fn labels_of_neighbours_do_not_meet() {
        let within = Patch { x: 0..800, y: 0..500 };
        let points = [(400, 250), (404, 252), (408, 249), (780, 20)];
        let mut taken: Vec<Patch> = points.iter().map(|&point| Patch::around(point)).collect();
        for point in points {
            let place = Patch::for_label("luma-s 36.90 dB", point, &taken, &within);
            assert!(
                within.holds(&place) && !taken.iter().any(|other| other.meets(&place)),
                "{place:?} among {taken:?}"
            );
            taken.push(place);
        }
    }
}
