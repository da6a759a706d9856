//! What keys mean.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a message asks of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing but to be shown in time.
    Nothing,
    /// To be shown at once.
    See,
    /// To be drawn anew, whatever the terminal holds.
    Redraw,
    /// An end.
    End,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    /// Ends.
    End,
    /// Draws anew.
    Redraw,
    /// Goes to the next list.
    Next,
    /// Goes to the list before.
    Previous,
    /// Moves in the list.
    Move(Step),
}

/// A way to go in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// What this key does; `None` if nothing.
pub(super) fn stroke(key: KeyEvent) -> Option<Stroke> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'C') => Some(Stroke::End),
            KeyCode::Char('l' | 'L') => Some(Stroke::Redraw),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::Esc | KeyCode::Char('q' | 'Q') => Stroke::End,
        KeyCode::Tab | KeyCode::Right => Stroke::Next,
        KeyCode::BackTab | KeyCode::Left => Stroke::Previous,
        KeyCode::Up | KeyCode::Char('k') => Stroke::Move(Step::Up),
        KeyCode::Down | KeyCode::Char('j') => Stroke::Move(Step::Down),
        KeyCode::PageUp => Stroke::Move(Step::PageUp),
        KeyCode::PageDown => Stroke::Move(Step::PageDown),
        KeyCode::Home | KeyCode::Char('g') => Stroke::Move(Step::First),
        KeyCode::End | KeyCode::Char('G') => Stroke::Move(Step::Last),
        _ => return None,
    })
}
