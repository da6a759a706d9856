//! Points at which a test has the daemon die: before and after each request to the kernel, and
//! between the steps of writing its state.
//!
//! They are there in tests only. Without the feature `injection`, which nothing but a test depends
//! on, and in whatever is optimised, [`pass`] does nothing and no trace of the rest is compiled.
//!
//! A daemon that may die is started with an environment variable, `IPMP_FAULT=FILE`. Whenever the
//! file says `POINT N`, it kills itself when it passes that point for the `N`th time from then on. To
//! `FILE.passed` it adds the name of each point it passes, a line each.

/// Where the daemon may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// About to send a request to the kernel, or to write a sysctl.
    BeforeOperation,
    /// The kernel did it; nobody knows yet.
    AfterOperation,
    /// About to write the state.
    BeforeWrite,
    /// The new file was begun and is empty.
    InWrite,
    /// The new file is whole, and not in the old one's place yet.
    BeforeRename,
    /// The new file is in the old one's place.
    AfterRename,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BeforeOperation,
        Self::AfterOperation,
        Self::BeforeWrite,
        Self::InWrite,
        Self::BeforeRename,
        Self::AfterRename,
    ];

    /// Its name in the environment variable and in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeOperation => "before-operation",
            Self::AfterOperation => "after-operation",
            Self::BeforeWrite => "before-write",
            Self::InWrite => "in-write",
            Self::BeforeRename => "before-rename",
            Self::AfterRename => "after-rename",
        }
    }
}

#[cfg(all(feature = "injection", debug_assertions))]
mod armed;

/// Whether points mean anything in this process. Then requests to the kernel go one by one, so that
/// there is something between them.
pub fn is_armed() -> bool {
    #[cfg(all(feature = "injection", debug_assertions))]
    return armed::file().is_some();
    #[cfg(not(all(feature = "injection", debug_assertions)))]
    false
}

/// Passes a point: does not return if the process is to die here.
pub fn pass(point: Point) {
    #[cfg(all(feature = "injection", debug_assertions))]
    armed::pass(point);
    #[cfg(not(all(feature = "injection", debug_assertions)))]
    let _ = point;
}
