//! The same tables on the host.

use foobar_common::{image::HostTables, layout::MAX_NOTES, slot::Slot};

use super::{INGRESS, Lab};

/// Notes that one family has room for.
pub const ROOM: usize = MAX_NOTES as usize;

impl Lab {
    /// What was published, as the host's tables; nothing counted, nothing noted.
    pub fn host(&mut self) -> HostTables {
        let sets = self.host_sets();
        let loaded = self.loaded();
        let image = loaded.image.clone();
        let regions = loaded.rings.values().map(|ring| ring.region + 1).max().unwrap_or(0);
        let mut rings = vec![Vec::<Slot>::new(); regions as usize];
        for ring in loaded.rings.values() {
            rings[ring.region as usize].clone_from(&ring.slots);
        }
        let next_hops = self.backends().into_iter().map(|(id, address)| (id, self.hop(address))).collect();
        HostTables { image, rings, next_hops, sets, room: ROOM, ingress: INGRESS, ..HostTables::default() }
    }
}
