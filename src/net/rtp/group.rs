//! Multicast groups: joined on an interface that is named, or where the kernel's routes lead to.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
};

use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex};

use crate::os::during;

/// Joins the group on this socket.
///
/// # Errors
/// The kernel's reason, with the group and the interface.
pub(super) fn join(socket: &UdpSocket, group: IpAddr, interface: Option<&str>) -> io::Result<()> {
    let on = interface.map_or_else(String::new, |name| format!(" on interface {name}"));
    let joined = match group {
        IpAddr::V4(group) => {
            let local = interface.map_or(Ok(Ipv4Addr::UNSPECIFIED), ipv4_of)?;
            socket.join_multicast_v4(&group, &local)
        }
        IpAddr::V6(group) => {
            let index = interface.map_or(Ok(0), index_of)?;
            socket.join_multicast_v6(&group, index)
        }
    };
    joined.map_err(during(format!("joining group {group}{on}")))
}

/// The address, with the interface in it where IPv6 wants that.
///
/// # Errors
/// If there is no such interface.
pub(super) fn scoped(mut address: SocketAddr, interface: Option<&str>) -> io::Result<SocketAddr> {
    if let (SocketAddr::V6(v6), Some(name)) = (&mut address, interface) {
        v6.set_scope_id(index_of(name)?);
    }
    Ok(address)
}

fn index_of(name: &str) -> io::Result<u32> {
    if_nametoindex(name).map_err(during(format!("looking for interface {name}")))
}

/// The first IPv4 address of an interface, by which the kernel knows it.
fn ipv4_of(name: &str) -> io::Result<Ipv4Addr> {
    index_of(name)?;
    let addresses = getifaddrs().map_err(during("getifaddrs"))?;
    let v4 = addresses
        .filter(|one| one.interface_name == name)
        .find_map(|one| Some(one.address?.as_sockaddr_in()?.ip()));
    v4.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!(
                "interface {name} has no IPv4 address, by which it could join a group; give it one"
            ),
        )
    })
}
