//! Where a live rule goes in the list.

use crate::{
    api::types::{Place, Refusal},
    domain::{Rule, Verdict},
};

/// The index at which to insert `rule`. `find` turns what the operator names into an index.
pub fn index(
    rule: &Rule,
    place: &Place,
    len: usize,
    find: impl Fn(&str) -> Result<usize, Refusal>,
) -> Result<usize, Refusal> {
    match place {
        Place::Before(id) => find(id),
        Place::After(id) => find(id).map(|index| index + 1),
        Place::Default if rule.verdict == Verdict::Deny => Ok(0),
        Place::Default => Ok(len),
    }
}
