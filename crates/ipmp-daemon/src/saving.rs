//! The saved state on its way to its file, which may have no room for it now.

use std::path::PathBuf;

use ipmp_api::saved;
use ipmp_core::asked::Saved;

/// What is to be saved, and where.
pub(crate) struct Saving {
    path: PathBuf,
    /// What is not saved yet.
    unsaved: Option<Box<Saved>>,
    /// Why, as far as it has been said.
    said: Option<String>,
}

impl Saving {
    /// Saves to this file.
    pub(crate) const fn to(path: PathBuf) -> Self {
        Self {
            path,
            unsaved: None,
            said: None,
        }
    }

    /// Takes what is to be saved next, in place of what has not been saved until now.
    pub(crate) fn take(&mut self, saved: Box<Saved>) {
        self.unsaved = Some(saved);
    }

    /// Saves what is not saved yet. Tells whether nothing is left to be saved; if something is, the file
    /// is as it was. Why is said once, and so is the end of it.
    pub(crate) fn save(&mut self) -> bool {
        let Some(saved) = &self.unsaved else {
            return true;
        };
        match saved::write(&self.path, saved) {
            Ok(()) => {
                self.unsaved = None;
                if self.said.take().is_some() {
                    tracing::info!("{} is written again", self.path.display());
                }
                true
            }
            Err(error) => {
                let error = error.to_string();
                if self.said.as_ref() != Some(&error) {
                    tracing::error!("{error}; it is tried again and again");
                    self.said = Some(error);
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_saved_is_kept_until_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let mut saving = Saving::to(missing.join("state"));
        assert!(saving.save(), "there is nothing to be saved");
        let states = ["ge0", "ge1"].map(|failed| Saved {
            version: Saved::VERSION,
            failed: [failed.parse().unwrap()].into(),
            ..Saved::default()
        });
        for saved in &states {
            saving.take(Box::new(saved.clone()));
            assert!(!saving.save());
        }
        std::fs::create_dir(&missing).unwrap();
        assert!(saving.save());
        let [_, last] = states;
        assert_eq!(saved::read(&missing.join("state")).unwrap(), Some(last));
    }
}
