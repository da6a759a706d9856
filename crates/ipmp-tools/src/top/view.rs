//! The picture: a function of the model and the window.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::bar;
use ratatui::widgets::{RenderDirection, Sparkline, Widget};

use super::history::History;
use super::model::{Contact, List, Model, Place};
use super::rows::{self, Mood, Row};

/// Bars for terminals that know ASCII only: the higher, the more ink.
const ASCII: bar::Set<'static> = bar::Set {
    empty: " ",
    one_eighth: "_",
    one_quarter: ".",
    three_eighths: ":",
    half: "-",
    five_eighths: "=",
    three_quarters: "+",
    seven_eighths: "*",
    full: "#",
};

/// A probe that was lost, in a row of bars.
const LOST: &str = "x";

const KEYS: &str = "Tab: next list   arrows, PgUp, PgDn, Home, End: move   q: end";

/// Height of a window that has room for saying which keys there are.
const WITH_KEYS: u16 = 6;

/// A model that is shown.
pub(super) struct Picture<'m>(pub(super) &'m Model);

impl Widget for Picture<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let model = self.0;
        let mut lines = Lines {
            buffer,
            area,
            y: area.top(),
        };
        let title = format!("ipmp top   {}", model.host);
        let width = usize::from(area.width);
        let gap = width
            .saturating_sub(title.chars().count() + model.time.len())
            .max(3);
        let title = format!("{title}{:gap$}{}", "", model.time);
        lines.print(&title, Style::new().add_modifier(Modifier::BOLD));
        if let Some(notice) = notice(&model.contact) {
            let style = style(model, Mood::Bad).add_modifier(Modifier::BOLD);
            lines.print(&notice, style);
        }
        for (list, place) in List::ALL.into_iter().zip(&model.places) {
            if place.height > 0 {
                lines.list(model, list, place);
            }
        }
        if area.height >= WITH_KEYS {
            lines.y = lines.y.max(area.bottom() - 1);
            lines.print(KEYS, Style::new().add_modifier(Modifier::DIM));
        }
    }
}

/// What has to be said about the daemon.
fn notice(contact: &Contact) -> Option<String> {
    match contact {
        Contact::Asking => Some("asking in.mpathd ...".to_owned()),
        Contact::Running => None,
        Contact::NotRunning => Some(
            "in.mpathd is not running: waiting for it (start it: systemctl start ipmp)".to_owned(),
        ),
        Contact::Lost(reason) => Some(format!("{reason}: trying again")),
    }
}

/// How many rows each list has in a window of this height, when so many are wanted; none at all if the
/// window has only room for the list the user is in.
pub(super) fn heights(height: u16, wanted: [usize; 4], model: &Model) -> [u16; 4] {
    let focus = model.focus as usize;
    let around = [
        true, // The title.
        notice(&model.contact).is_some(),
        height >= WITH_KEYS,
    ];
    let around = around.into_iter().filter(|&is_there| is_there).count();
    let room = usize::from(height).saturating_sub(around);
    let mut heights = [0_u16; 4];
    // Each has a header and at least one row.
    if room < 2 * heights.len() {
        if let Some(height) = heights.get_mut(focus) {
            *height = u16::try_from(room.saturating_sub(1)).unwrap_or(u16::MAX);
        }
        return heights;
    }
    heights = [1; 4];
    let mut left = room - 2 * heights.len();
    while left > 0 {
        let before = left;
        // The list the user is in grows twice as fast.
        for at in [0, 1, 2, 3, focus] {
            if let (Some(height), Some(&wanted)) = (heights.get_mut(at), wanted.get(at))
                && usize::from(*height) < wanted
                && left > 0
            {
                *height += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    heights
}

/// What is drawn line by line.
struct Lines<'b> {
    buffer: &'b mut Buffer,
    area: Rect,
    /// The next line.
    y: u16,
}

impl Lines<'_> {
    /// Prints a line, as much of it as fits.
    fn print(&mut self, text: &str, style: Style) {
        if self.y >= self.area.bottom() {
            return;
        }
        let width = self.area.width.into();
        self.buffer
            .set_stringn(self.area.left(), self.y, text, width, style);
        self.y += 1;
    }

    /// Prints a list.
    fn list(&mut self, model: &Model, list: List, place: &Place) {
        let rows = rows::of(model, list);
        let is_focus = model.focus == list;
        let mark = |is_marked| if is_marked { '>' } else { ' ' };
        let mut header = format!(
            "{}{}",
            mark(is_focus && rows.is_empty()),
            rows::header(model, list)
        );
        if rows.len() > place.height {
            let last = (place.top + place.height).min(rows.len());
            let part = format!(" {}-{last} of {}", place.top + 1, rows.len());
            let width = usize::from(self.area.width).saturating_sub(part.len());
            header = format!("{header:<width$.width$}{part}");
        }
        let width = usize::from(self.area.width);
        let bold = Modifier::BOLD | Modifier::UNDERLINED;
        self.print(
            &format!("{header:<width$}"),
            Style::new().add_modifier(bold),
        );
        if rows.is_empty() {
            self.print(&format!(" {}", rows::nothing(list)), Style::new());
        }
        let shown = rows.iter().enumerate().skip(place.top).take(place.height);
        for (number, row) in shown {
            let is_chosen = is_focus && number == place.chosen;
            let mut style = style(model, row.mood);
            if is_chosen {
                style = style.add_modifier(Modifier::REVERSED);
            }
            self.row(model, row, mark(is_chosen), style);
        }
    }

    fn row(&mut self, model: &Model, row: &Row<'_>, mark: char, style: Style) {
        let line = Rect {
            y: self.y,
            height: 1,
            ..self.area
        };
        self.print(&format!("{mark}{}", row.text), style);
        let taken = u16::try_from(row.text.chars().count() + 2).unwrap_or(u16::MAX);
        if let Some(history) = row.probes
            && taken < line.width
            && line.y < self.area.bottom()
        {
            let room = Rect {
                x: line.x + taken,
                width: line.width - taken,
                ..line
            };
            bars(history, room, model, self.buffer);
        }
    }
}

/// Draws the last probes, the newest at the right.
fn bars(history: &History, room: Rect, model: &Model, buffer: &mut Buffer) {
    let shown = || history.newest_first().take(room.width.into());
    let longest = shown().flatten().max().unwrap_or(Duration::ZERO);
    let bars: Vec<Option<u64>> = shown()
        .map(|rtt| rtt.map(|rtt| rows::bar(rtt, longest)))
        .collect();
    let set = if model.blocks {
        bar::NINE_LEVELS
    } else {
        ASCII
    };
    Sparkline::default()
        .data(bars)
        .max(8)
        .bar_set(set)
        .direction(RenderDirection::RightToLeft)
        .absent_value_symbol(LOST)
        .absent_value_style(style(model, Mood::Bad))
        .render(room, buffer);
}

/// How a mood looks: without colours, words say it all.
fn style(model: &Model, mood: Mood) -> Style {
    let style = Style::new();
    if !model.colours {
        return style;
    }
    match mood {
        Mood::Calm => style,
        Mood::Good => style.fg(Color::Green),
        Mood::Warning => style.fg(Color::Yellow),
        Mood::Bad => style.fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}
