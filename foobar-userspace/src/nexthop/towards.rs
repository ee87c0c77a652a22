//! By which interface an address is reached, for questions about one connection.

use std::net::IpAddr;

use rtnetlink::new_connection;

use super::{kernel, way::Route};

/// Its index; none where there is no route, or nobody says.
pub async fn interface_towards(address: IpAddr) -> Option<u32> {
    let (connection, handle, _) = new_connection().ok()?;
    let serving = tokio::spawn(connection);
    let found = match kernel::route(&handle, address).await.ok() {
        Some(Route::OnLink(path) | Route::Gateway(_, path)) => Some(path.ifindex),
        _ => None,
    };
    serving.abort();
    found
}
