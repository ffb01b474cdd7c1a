//! flavors.yaml and credits.yaml, in the format of JupyterHub Outpost: who may start what, and how much of it.
//!
//! Pure: texts in, decisions out. What is malformed is refused as a whole, with the place and what to do. Counting is the
//! store's, reading the disk `reload`'s. `book.rs` says who gets what, `entries.rs` what a flavor and a credit hold,
//! `pattern.rs` what matches as in Python, `rules.rs` what is in force.

mod book;
mod entries;
mod pattern;
mod read;
mod rules;
#[cfg(test)]
mod tests;

pub use book::{Authentication, AuthenticationError, Book, Choice};
pub use entries::{Credit, Entry, Flavor};
pub use read::{MOST_BYTES, Parsed, RuleError, parse};
pub use rules::{Answered, Rules, SharedRules, Source, Wanted};
