//! Homes.
use crate::domain::*;
#[derive(Debug, thiserror::Error)]
#[error("h")]
pub struct HomeError;
#[derive(Debug)]
pub struct Outcome;
pub fn ensure(_: &crate::config::UserHomes, _: &Credential, _: &ServiceName, _: i64) -> Result<Outcome, HomeError> {
    Ok(Outcome)
}
