//! What an interface is, and who else has an XDP program on it.

use std::thread;

use anyhow::{Context as _, Result, anyhow};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage, LinkXdp};

/// What netlink says of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The id of the XDP program on it.
    pub program: Option<u32>,
    /// One end of a veth pair.
    pub is_veth: bool,
}

/// Asks for an interface in the network namespace of the calling thread.
pub fn facts(ifindex: u32) -> Result<Facts> {
    let links = links(Some(ifindex))?;
    let mut facts = Facts::default();
    for attribute in links.into_iter().flat_map(|link| link.attributes) {
        match attribute {
            LinkAttribute::Xdp(parts) => {
                facts.program = parts.iter().find_map(|part| match part {
                    LinkXdp::ProgId(id) if *id != 0 => Some(*id),
                    _ => None,
                });
            }
            LinkAttribute::LinkInfo(parts) => {
                facts.is_veth = parts.iter().any(|part| matches!(part, LinkInfo::Kind(InfoKind::Veth)));
            }
            _ => {}
        }
    }
    Ok(facts)
}

/// An interface in the network namespace of the calling thread, or all of them.
pub fn links(ifindex: Option<u32>) -> Result<Vec<LinkMessage>> {
    // A thread of its own: the caller may be inside a runtime already. Threads inherit the network namespace.
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(ask(ifindex))
    })
    .join()
    .map_err(|_| anyhow!("asking for interfaces panicked"))?
}

async fn ask(ifindex: Option<u32>) -> Result<Vec<LinkMessage>> {
    let (connection, handle, _) = rtnetlink::new_connection().context("opening a netlink socket")?;
    let connection = tokio::spawn(connection);
    let request = handle.link().get();
    let request = match ifindex {
        Some(ifindex) => request.match_index(ifindex),
        None => request,
    };
    let links = request.execute().try_collect().await?;
    connection.abort();
    Ok(links)
}

/// A program's name; needs `CAP_SYS_ADMIN`.
pub fn program_name(id: u32) -> Option<String> {
    let info = aya::programs::loaded_programs().filter_map(Result::ok).find(|info| info.id() == id)?;
    info.name_as_str().map(ToOwned::to_owned)
}
