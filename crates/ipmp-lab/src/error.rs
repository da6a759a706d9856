//! What can go wrong with the lab itself.

use std::fmt::Display;

/// The lab could not do something; one line, `lab: object: reason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lab: {object}: {reason}")]
pub struct LabError {
    /// The host, NIC, file or command it is about.
    pub object: String,
    /// What went wrong with it.
    pub reason: String,
}

impl LabError {
    pub(crate) fn new(object: impl Display, reason: impl Display) -> Self {
        Self {
            object: object.to_string(),
            reason: reason.to_string(),
        }
    }
}

/// Names the object that an error of the system is about.
pub(crate) trait About<T> {
    fn about(self, object: impl Display) -> Result<T, LabError>;
}

impl<T, E: Display> About<T> for Result<T, E> {
    fn about(self, object: impl Display) -> Result<T, LabError> {
        self.map_err(|error| LabError::new(object, error))
    }
}
