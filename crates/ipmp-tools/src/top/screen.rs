//! The terminal: taken at the start, given back at the end, whatever that is.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::panic;
use std::process;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, thread};

use nix::sys::signal::{SigSet, Signal};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::feed::Message;
use super::model::Model;
use super::view::Picture;

/// What a process that panics exits with.
const PANICKED: i32 = 101;

/// The terminal while it is ours.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<File>>>,
    /// Held while a picture is drawn.
    drawing: Arc<Mutex<()>>,
}

impl Screen {
    /// Takes the terminal. What was on it is there again afterwards.
    pub(super) fn open() -> io::Result<Self> {
        let mut out = BufWriter::new(standard_output()?);
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(standard_output()?)))?;
        // From here on it is given back, by `drop` or by the hook.
        let screen = Self {
            terminal,
            drawing: Arc::default(),
        };
        give_back_on_panic(screen.drawing.clone());
        enable_raw_mode()?;
        execute!(out, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Shows this.
    pub(super) fn draw(&mut self, model: &mut Model) -> io::Result<()> {
        let _drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        self.terminal.draw(|frame| {
            let area = frame.area();
            model.fit(area);
            frame.render_widget(Picture(model), area);
        })?;
        Ok(())
    }

    /// Forgets what the terminal shows, so that everything is drawn.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, as far as there still is one.
fn give_back() {
    let _ = disable_raw_mode();
    if let Ok(mut out) = standard_output() {
        let _ = execute!(out, LeaveAlternateScreen, Show);
        let _ = out.flush();
    }
}

/// On a panic, of whichever thread, gives the terminal back before anything is said, and ends. To be
/// called by the thread that draws: no other one's panic may be drawn over.
fn give_back_on_panic(drawing: Arc<Mutex<()>>) {
    let say = panic::take_hook();
    let drawer = thread::current().id();
    panic::set_hook(Box::new(move |panic| {
        let _no_more_pictures = (thread::current().id() != drawer)
            .then(|| drawing.lock().unwrap_or_else(PoisonError::into_inner));
        give_back();
        say(panic);
        process::exit(PANICKED);
    }));
}

/// Standard output without the lock that this process holds on it: the hook may run on any thread.
fn standard_output() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Keeps the signals that ask for an end from ending this thread, and those it starts.
pub(super) fn block_signals() -> io::Result<SigSet> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect();
    signals.thread_block()?;
    Ok(signals)
}

/// Tells of keys, of the window's size, and of `signals`, from now on.
pub(super) fn listen(signals: SigSet, to: &SyncSender<Message>) {
    let (keys, ends) = (to.clone(), to.clone());
    thread::spawn(move || {
        loop {
            let message = match event::read() {
                Ok(Event::Key(key)) => Message::Key(key),
                Ok(Event::Resize(..)) => Message::Resized,
                Ok(_) => continue,
                // The terminal is gone.
                Err(_) => Message::End,
            };
            let is_last = matches!(message, Message::End);
            if keys.send(message).is_err() || is_last {
                return;
            }
        }
    });
    thread::spawn(move || {
        let _signal = signals.wait();
        let _ = ends.send(Message::End);
    });
}

/// Whether the terminal takes text for UTF-8, and so knows bars of eighths of a cell.
pub(super) fn has_blocks() -> bool {
    let mut names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let value = names.find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    value.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
