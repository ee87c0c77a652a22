//! The same tables on the host.

use foobar_common::{image::HostTables, layout::MAX_NOTES, note::table::NoteTable as _, slot::Slot};
use foobar_userspace::daemon::state::now;

use super::{INGRESS, Lab};

/// Notes that there is room for.
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
        let ways = self.ways();
        let next_hops = ways.iter().map(|(id, hop, _)| (*id, *hop)).collect();
        let targets = ways.into_iter().map(|(id, _, target)| (id, target)).collect();
        let pool = self.datapath().pool_addresses().to_vec();
        let now = u32::try_from(now()).expect("seconds since the start");
        let note_secret = self.datapath().note_table().note_secret();
        let (room, ingress) = (ROOM, INGRESS);
        HostTables {
            image,
            terms,
            now,
            rings,
            next_hops,
            targets,
            pool,
            sets,
            note_secret,
            room,
            ingress,
            ..HostTables::default()
        }
    }
}
