//! Runs a program over each element of a map, in slices: the kernel's iterator, which aya attaches to no map.
#![expect(unsafe_code, reason = "no crate makes the link of an iterator over a map")]

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd};
use rustix::time::{ClockId, clock_gettime};

/// Elements of a slice at most; between slices the kernel may do something else.
pub const SLICE: usize = 1024;

/// How a walk went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    pub slices: u64,
    /// Time that the CPU was on it, and on the slice that took longest.
    pub took: Duration,
    pub longest: Duration,
}

/// Runs `program` for each element of `map`, of which it has to write a byte.
///
/// An element that comes or goes meanwhile may be met or not; another one is hardly missed or met twice because of it.
pub fn walk(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> Result<Walk> {
    let mut steps = open(program, map).context("opening an iterator")?;
    let mut walk = Walk::default();
    let mut bytes = [0; SLICE];
    loop {
        let begun = spent();
        let met = steps.read(&mut bytes);
        let took = spent().saturating_sub(begun);
        walk.slices += 1;
        (walk.took, walk.longest) = (walk.took + took, walk.longest.max(took));
        match met {
            // Behind the last element.
            Ok(0) => return Ok(walk),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error).context("going over a map"),
        }
    }
}

/// What the CPU did for this thread.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The kernel's `bpf_iter_link_info`, whose size may grow behind the map.
#[repr(C)]
struct LinkInfo {
    map: u32,
}

/// A file whose reader runs the program. It holds the link, and the link both others.
fn open(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<File> {
    let info = LinkInfo { map: map.as_raw_fd().cast_unsigned() };
    let mut link = zeroed();
    link.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    link.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    // SAFETY: writes numbers into a union of numbers.
    let iter = unsafe { &mut link.link_create.__bindgen_anon_3.__bindgen_anon_1 };
    (iter.iter_info, iter.iter_info_len) = ((&raw const info) as u64, size_of::<LinkInfo>() as u32);
    let link = bpf(bpf_cmd::BPF_LINK_CREATE, &link)?;
    let mut iter = zeroed();
    iter.iter_create.link_fd = link.as_fd().as_raw_fd().cast_unsigned();
    bpf(bpf_cmd::BPF_ITER_CREATE, &iter).map(File::from)
}

fn zeroed() -> bpf_attr {
    // SAFETY: a union of numbers, for which all zeros are a value.
    unsafe { std::mem::zeroed() }
}

/// For commands that answer with a descriptor.
fn bpf(command: bpf_cmd, attributes: &bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the attributes, and what they point to lives as long as the caller's own.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw const *attributes, size_of::<bpf_attr>()) };
    match i32::try_from(done) {
        // SAFETY: the kernel has just given this descriptor, which nobody else has.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
