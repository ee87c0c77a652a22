//! `[tunnels]`: balancers whose tunnels are taken off here.

use std::net::IpAddr;

use super::section::Section;
use crate::domain::{
    mistake::{Fault, Parsed},
    prefix,
};

/// Addresses that a file can name.
pub const MAX: usize = 64;

const EXAMPLE: &str = "from = [\"10.0.0.1\"]";

pub fn read(file: &Section<'_>) -> Parsed<Vec<IpAddr>> {
    let Some(value) = file.value("tunnels") else { return Ok(Vec::new()) };
    let section = value.section("[tunnels]", "[tunnels]")?;
    section.keys(&["from"], &[])?;
    let list = section.required("from", "[\"10.0.0.1\"]")?;
    let mut addresses = Vec::new();
    for value in list.list(EXAMPLE)? {
        let text = value.text(EXAMPLE)?;
        let address = prefix::address(text.word()).map_err(|fault| text.place(fault))?;
        if addresses.contains(&address) {
            return Err(Fault::new(text.inside(), format!("`{address}` stands twice")).hint("write it once"));
        }
        addresses.push(address);
    }
    if addresses.len() > MAX {
        return Err(Fault::new(list.span(), format!("tunnels of more than {MAX} balancers")).hint("name fewer"));
    }
    Ok(addresses)
}
