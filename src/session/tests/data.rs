//! Application data over a session, where the peers agreed on it.

use super::*;

#[test]
fn data_goes_both_ways_for_as_long_as_the_session_lives() {
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
        let mut pair = Pair::connect(versions, true);
        assert_eq!(pair.session_opens(&pair.packet_under(0, 1)), Ok(()));
        // Long after a session without data would have given up its engine.
        pair.later(limits::DTLS_ENGINE_KEPT * 3);
        for round in 0..20_u8 {
            pair.epochs[0].dtls.send_application_data(&[round; 900], pair.now).unwrap();
            pair.run();
            let (epoch, data) = pair.session.poll_data().unwrap();
            assert_eq!((epoch, &data[..]), (EpochNumber(0), &[round; 900][..]), "{versions:?}");
            pair.session.send_data(&data, &mut pair.out, pair.now).unwrap();
            pair.run();
            assert_eq!(pair.epochs[0].data.pop().as_deref(), Some(&[round; 900][..]), "{versions:?}");
        }
        // Records that nobody takes are dropped and counted.
        for _ in 0..limits::DTLS_INBOX_MAX + 3 {
            pair.epochs[0].dtls.send_application_data(b"unread", pair.now).unwrap();
            pair.run();
        }
        assert_eq!(pair.session.data_dropped(), 3);
        let long = vec![0; limits::DTLS_APPLICATION_DATA_BYTES_MAX + 1];
        assert_eq!(pair.session.send_data(&long, &mut pair.out, pair.now), Err(crate::dtls::DataRefused::Length));
    }
}

#[test]
fn each_epoch_has_its_own_data_and_a_session_with_data_is_not_exported() {
    let mut pair = Pair::connect(DtlsVersions::Only13, true);
    pair.begin_epoch().unwrap();
    pair.add_client(DtlsVersions::Only12);
    pair.run();
    for epoch in [1, 0] {
        pair.epochs[epoch].dtls.send_application_data(&[epoch as u8], pair.now).unwrap();
        pair.run();
        let (number, data) = pair.session.poll_data().unwrap();
        assert_eq!((number, &data[..]), (EpochNumber(epoch as u32), &[epoch as u8][..]));
    }
    pair.session.switch_epoch(Duration::from_secs(1), pair.now).unwrap();
    pair.session.send_data(b"under the new one", &mut pair.out, pair.now).unwrap();
    pair.run();
    assert_eq!((pair.epochs[0].data.len(), pair.epochs[1].data.len()), (0, 1));
    let refused = pair.session.export(pair.now, &mut |out, path| address(path).export(out)).unwrap_err();
    assert_eq!(refused.reason, ExportRefused::CarriesData);
}

#[test]
fn data_that_was_not_agreed_on_is_dropped_and_the_engine_given_up() {
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
        let mut pair = Pair::connected(versions);
        pair.epochs[0].dtls.send_application_data(b"unexpected", pair.now).unwrap();
        pair.run();
        assert_eq!(pair.session.poll_data(), None);
        assert_eq!(pair.session_opens(&pair.packet_under(0, 1)), Ok(()));
        pair.later(limits::DTLS_ENGINE_KEPT);
        let refused = pair.session.send_data(b"x", &mut pair.out, pair.now);
        assert_eq!(refused, Err(crate::dtls::DataRefused::NotConnected), "{versions:?}");
    }
}
