//! Which listener is taken for which place of a configuration.

use super::*;

#[test]
fn the_name_and_the_address_of_the_configuration_decide_first() {
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (first, second) = (listening("listen.0", free), listening("admin", free));
    let wanted = second.listener.local_addr().unwrap();
    let mut inherited = Inherited::new(vec![first, second]);
    let taken = inherited.take("admin", free);
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].local_addr().unwrap(), wanted);
    assert!(inherited.take("admin", free).is_empty());
    assert_eq!(inherited.take("listen.0", free).len(), 1);
}

#[test]
fn another_place_with_the_same_address_will_do() {
    let entry = listening("listen.1", "127.0.0.1:0".parse().unwrap());
    let bound = entry.listener.local_addr().unwrap();
    let mut inherited = Inherited::new(vec![entry]);
    assert!(
        inherited
            .take("listen.0", "127.0.0.1:1".parse().unwrap())
            .is_empty()
    );
    assert_eq!(inherited.take("listen.0", bound).len(), 1);
}

#[test]
fn every_ipv4_address_stands_for_every_address() {
    let entry = listening("", "0.0.0.0:0".parse().unwrap());
    let port = entry.listener.local_addr().unwrap().port();
    let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let mut inherited = Inherited::new(vec![entry]);
    assert_eq!(inherited.take("listen.0", everywhere).len(), 1);
}

fn listening(name: &str, address: SocketAddr) -> Listening {
    Listening {
        name: name.to_owned(),
        configured: address,
        listener: TcpListener::bind(address).unwrap(),
    }
}
