//! By which interface an address is reached, for questions about one connection.

use std::net::IpAddr;

use rtnetlink::new_connection;

use super::{kernel, way::Route};

/// Its index; none where there is no route, or nobody says.
pub async fn interface_towards(address: IpAddr) -> Option<u32> {
    let (connection, handle, _) = new_connection().ok()?;
    let serving = tokio::spawn(connection);
    let mut next = address;
    let mut found = None;
    // A gateway is on a link, or named by another route at most.
    for _ in 0..2 {
        match kernel::route(&handle, next).await.ok()? {
            Route::OnLink { ifindex } => found = Some(ifindex),
            Route::Gateway { gateway: Some(gateway) } => {
                next = gateway;
                continue;
            }
            _ => {}
        }
        break;
    }
    serving.abort();
    found
}
