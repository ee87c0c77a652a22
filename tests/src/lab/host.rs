//! The same tables on the host.

use foobar_common::{image::HostTables, layout::MAX_NOTES, slot::Slot};
use foobar_userspace::daemon::state::now;

use super::{INGRESS, Lab};

/// Notes that one family has room for.
pub const ROOM: usize = MAX_NOTES as usize;

impl Lab {
    /// What was published, as the host's tables; nothing counted, nothing noted.
    pub fn host(&mut self) -> HostTables {
        let sets = self.host_sets();
        let loaded = self.loaded();
        let (image, terms) = (loaded.image.clone(), loaded.terms.clone());
        let regions = loaded.rings.values().map(|ring| ring.region + 1).max().unwrap_or(0);
        let mut rings = vec![Vec::<Slot>::new(); regions as usize];
        for ring in loaded.rings.values() {
            rings[ring.region as usize].clone_from(&ring.slots);
        }
        let next_hops = self.backends().into_iter().map(|(id, address)| (id, self.hop(address))).collect();
        let now = u32::try_from(now()).expect("seconds since the start");
        HostTables { image, terms, now, rings, next_hops, sets, room: ROOM, ingress: INGRESS, ..HostTables::default() }
    }
}
