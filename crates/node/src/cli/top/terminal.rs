//! The terminal that a live view has to itself.

use std::thread;

use console::{Key, Term};

/// The terminal's settings, which are set again when this is dropped: a thread that waits for a key has changed them.
pub(super) struct Terminal {
    #[cfg(unix)]
    settings: Option<rustix::termios::Termios>,
}

impl Terminal {
    pub(super) fn keep() -> Self {
        Self {
            #[cfg(unix)]
            settings: rustix::termios::tcgetattr(std::io::stdin()).ok(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(settings) = &self.settings {
            // Whoever has closed the terminal does not miss it.
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, settings);
        }
    }
}

/// Ends the process at q. A key that has been read leaves the terminal as it was.
pub(super) fn watch_keys(term: &Term) {
    let term = term.clone();
    thread::spawn(move || {
        loop {
            match term.read_key() {
                Ok(Key::Char('q') | Key::Escape) => std::process::exit(0),
                // Ctrl-C.
                Err(_) => std::process::exit(130),
                Ok(_) => {}
            }
        }
    });
}
