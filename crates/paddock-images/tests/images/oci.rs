//! Manifests and configurations as engines write them, and as nobody should.

use paddock_core::BlobDigest;
use paddock_core::image::ImageConfig;
use paddock_images::convert::Compression;
use paddock_images::oci::{
    CONFIG_BYTES_MAX, ConfigFile, ImageError, ImageManifest, ImageParts, Index, MANIFEST_BYTES_MAX, Manifest,
    config_json, media_type,
};
use proptest::prelude::*;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn digest(number: u8) -> BlobDigest {
    BlobDigest::of_sha256([number; 32])
}

fn descriptor(media_type: &str, number: u8, rest: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":7{rest}}}"#, digest(number))
}

fn manifest_of(config: &str, layers: &[String]) -> String {
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","))
}

fn manifest(layers: usize) -> String {
    let layers: Vec<String> = (0..layers).map(|number| descriptor(LAYER, number as u8 + 10, "")).collect();
    manifest_of(&descriptor(media_type::OCI_CONFIG, 1, ""), &layers)
}

fn image(json: &str) -> ImageManifest {
    match Manifest::read(json.as_bytes(), media_type::OCI_MANIFEST).unwrap() {
        Manifest::Image(image) => image,
        Manifest::Index(index) => panic!("{index:?}"),
    }
}

fn index(manifests: &[String]) -> Index {
    let json = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, manifests.join(","));
    match Manifest::read(json.as_bytes(), media_type::OCI_INDEX).unwrap() {
        Manifest::Index(index) => index,
        Manifest::Image(image) => panic!("{image:?}"),
    }
}

fn platform(number: u8, os: &str, architecture: &str) -> String {
    let platform = format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#);
    descriptor(media_type::OCI_MANIFEST, number, &platform)
}

fn config(section: &str, diff_ids: u8) -> ConfigFile {
    let diff_ids: Vec<String> =
        (0..diff_ids).map(|number| format!(r#""{}""#, digest(number + 100))).collect();
    let json = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{section},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    ConfigFile::read(json.as_bytes()).unwrap()
}

#[test]
fn a_manifest_of_docker_names_its_blobs() {
    let layer = descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", 2, "");
    let json = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{layer}]}}"#,
        media_type::DOCKER_MANIFEST,
        descriptor(media_type::DOCKER_CONFIG, 1, "")
    );
    let read = Manifest::read(json.as_bytes(), media_type::DOCKER_MANIFEST).unwrap();
    let blobs: Vec<_> = read.blobs().iter().map(|blob| (blob.digest.clone(), blob.size)).collect();
    assert_eq!(blobs, [(digest(1), 7), (digest(2), 7)]);
    assert_eq!((read.subject(), read.manifests().len()), (None, 0));
    let Manifest::Image(manifest) = read else { panic!("{read:?}") };
    assert_eq!(manifest.check_image(&digest(9)), Ok(()));
}

#[test]
fn what_is_stored_beside_images_is_read_and_is_no_image() {
    let json = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","artifactType":"application/spdx+json","config":{},"layers":[{}],
            "subject":{},"annotations":{{"a":"b"}},"of":{{"another":["version"]}}}}"#,
        media_type::OCI_MANIFEST,
        descriptor("application/vnd.oci.empty.v1+json", 1, r#","data":"e30=""#),
        descriptor("application/spdx+json", 2, ""),
        descriptor(media_type::OCI_MANIFEST, 3, ""),
    );
    let read =
        Manifest::read(json.as_bytes(), &format!("{}; charset=utf-8", media_type::OCI_MANIFEST)).unwrap();
    assert_eq!(read.subject().map(|subject| subject.digest.clone()), Some(digest(3)));
    assert_eq!(
        (read.artifact_type(), read.annotations()["a"].as_str()),
        (Some("application/spdx+json"), "b")
    );
    let Manifest::Image(manifest) = read else { panic!("{read:?}") };
    let refused = manifest.check_image(&digest(9)).unwrap_err().to_string();
    assert_eq!(refused, r#""application/vnd.oci.empty.v1+json" is no image that could be run"#);
    let chart = Manifest::Image(image(&manifest_of(
        &descriptor("application/vnd.cncf.helm.config.v1+json", 1, ""),
        &[],
    )));
    assert_eq!(chart.artifact_type(), Some("application/vnd.cncf.helm.config.v1+json"));
}

#[test]
fn what_is_no_manifest_is_refused_by_a_sentence() {
    let one = descriptor(media_type::OCI_CONFIG, 1, "");
    let both = format!(r#"{{"schemaVersion":2,"config":{one},"layers":[],"manifests":[]}}"#);
    let null = format!(r#"{{"schemaVersion":2,"config":{one},"layers":null,"manifests":null}}"#);
    let docker = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{one},"layers":[]}}"#,
        media_type::DOCKER_MANIFEST
    );
    let twice = format!(r#"{{"schemaVersion":2,"config":{one},"config":{one}}}"#);
    let sha512 = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"a","digest":"sha512:{}","size":1}}}}"#,
        "a".repeat(128)
    );
    let negative = manifest(0).replace("\"size\":7", "\"size\":-7");
    let deep =
        format!(r#"{{"schemaVersion":2,"config":{one},"x":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    let long = format!(r#"{{"schemaVersion":"{}"}}"#, "x".repeat(100_000));
    for (json, wanted) in [
        ("", "the manifest cannot be read: EOF"),
        ("[]", "the manifest cannot be read: "),
        (r#"{"schemaVersion":1,"fsLayers":[]}"#, "the manifest cannot be read: its schemaVersion is not 2"),
        (r#"{"schemaVersion":2}"#, "the manifest cannot be read: missing field `config`"),
        (&both, "the manifest has both layers and manifests"),
        (&null, "the manifest has both layers and manifests"),
        (
            &docker,
            "the manifest says that its media type is \"application/vnd.docker.distribution.manifest.v2+json\", and was sent as",
        ),
        (&twice, "the manifest cannot be read: duplicate field `config`"),
        (&sha512, "the manifest cannot be read: not a sha256 digest: \"sha512:"),
        (&negative, "the manifest cannot be read: invalid value"),
        (&long, "the manifest cannot be read: invalid type"),
        (&format!("{} x", manifest(0)), "the manifest cannot be read: trailing characters"),
    ] {
        let refused = Manifest::read(json.as_bytes(), media_type::OCI_MANIFEST).unwrap_err().to_string();
        assert!(refused.starts_with(wanted) && refused.len() < 500, "{refused}\n{wanted}");
    }
    // What is not looked at may be as deep as it likes.
    assert_eq!(image(&deep), image(&manifest(0)));
    let large = vec![b' '; MANIFEST_BYTES_MAX + 1];
    let refused = Manifest::read(&large, media_type::OCI_INDEX).unwrap_err();
    assert_eq!(refused.to_string(), "the manifest has more than 4194304 bytes");
    for other in ["", "application/json", "application/vnd.docker.distribution.manifest.v1+prettyjws"] {
        let refused = Manifest::read(manifest(0).as_bytes(), other).unwrap_err();
        assert_eq!(refused, ImageError::MediaType(other.to_owned()));
    }
    assert!(Manifest::read(manifest(0).as_bytes(), media_type::OCI_INDEX).is_err());
}

#[test]
fn the_image_for_this_machine_is_chosen() {
    let attestation = descriptor(
        media_type::OCI_MANIFEST,
        9,
        r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"},"platform":{"os":"unknown","architecture":"unknown"}"#,
    );
    let later = descriptor(
        media_type::DOCKER_MANIFEST,
        3,
        r#","platform":{"os":"linux","architecture":"amd64","variant":"v3"}"#,
    );
    let arm = platform(1, "linux", "arm64");
    let bare = descriptor(media_type::OCI_MANIFEST, 4, "");
    for (manifests, wanted) in [
        (vec![arm.clone(), platform(2, "linux", "amd64"), later.clone()], 2),
        (vec![attestation.clone(), platform(7, "windows", "amd64"), later], 3),
        (vec![bare.clone()], 4),
        (vec![arm.clone(), bare, platform(5, "Linux", "x86_64")], 5),
    ] {
        assert_eq!(index(&manifests).choose(&digest(99)).map(|chosen| &chosen.digest), Ok(&digest(wanted)));
    }
    let many: Vec<String> =
        (0..20).map(|number| platform(number, "linux", &format!("a{number:02}"))).collect();
    let nested = descriptor(media_type::OCI_INDEX, 5, r#","platform":{"os":"linux","architecture":"amd64"}"#);
    for (manifests, wanted) in [
        (vec![], "the index names no image: build the image for linux/amd64"),
        (vec![attestation], "the index names no image: build the image for linux/amd64"),
        (
            vec![arm.clone(), platform(2, "windows", "amd64")],
            "the image is for linux/arm64, windows/amd64, and has to be for linux/amd64: build it with --platform linux/amd64",
        ),
        (
            many,
            "the image is for linux/a00, linux/a01, linux/a02, linux/a03, linux/a04, linux/a05, linux/a06, linux/a07, others, and has to be for linux/amd64: build it with --platform linux/amd64",
        ),
        (vec![nested], "the index names another index in the place of an image"),
        (vec![arm, platform(99, "linux", "amd64")], "the manifest names itself"),
        (vec![descriptor("text/plain", 1, "")], "\"text/plain\" is no image that could be run"),
    ] {
        assert_eq!(index(&manifests).choose(&digest(99)).unwrap_err().to_string(), wanted);
    }
    let null = Manifest::read(br#"{"schemaVersion":2,"manifests":null}"#, media_type::DOCKER_LIST).unwrap();
    assert!(null.manifests().is_empty());
}

#[test]
fn a_configuration_of_docker_is_read() {
    let json = r#"{
        "architecture": "amd64", "os": "linux", "docker_version": "20.10", "created": "2024-01-01T00:00:00Z",
        "config": {
            "Hostname": "", "User": "app:app", "AttachStdin": false,
            "ExposedPorts": {"8080/tcp": {}, "53/udp": {}, "443": {}, "9000-9002/tcp": {}, "9000/TCP": {}, "x/tcp": {}, "70000/tcp": {}, "0/tcp": {}},
            "Env": ["PATH=/bin", "EMPTY=", "A=b=c", "NOTHING", "=x"],
            "Cmd": ["serve", "--all"], "Entrypoint": ["/init"], "WorkingDir": "srv/app",
            "Volumes": {"/data": {}}, "Labels": null, "OnBuild": ["RUN x"], "Shell": ["/bin/bash", "-c"],
            "Healthcheck": {"Test": ["CMD", "true"]}, "StopSignal": "SIGQUIT"
        },
        "container_config": {"Cmd": ["/bin/sh", "-c", "\#(nop) CMD"]}, "history": [{"created_by": "/bin/sh -c x"}],
        "rootfs": {"type": "layers", "diff_ids": ["DIGEST"]}
    }"#;
    let json = json.replace(r"\#", "#").replace("DIGEST", &digest(4).to_string());
    let read = ConfigFile::read(json.as_bytes()).unwrap();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let wanted = ImageConfig {
        entrypoint: words(&["/init"]),
        command: words(&["serve", "--all"]),
        env: [("PATH", "/bin"), ("EMPTY", ""), ("A", "b=c")]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        working_dir: "/srv/app".to_owned(),
        user: "app:app".to_owned(),
        exposed_ports: vec![443, 8080, 9000],
        shell: words(&["/bin/bash", "-c"]),
        on_build: words(&["RUN x"]),
    };
    assert_eq!(read.image, wanted);
    assert_eq!((read.diff_ids.as_slice(), read.check_platform()), (&[digest(4)][..], Ok(())));
    let nothing = ConfigFile::read(br#"{"config":null,"rootfs":null}"#).unwrap();
    assert_eq!((&nothing.image, nothing.check_platform()), (&ImageConfig::default(), Ok(())));
    let old = config(r#"{"Entrypoint":null,"Cmd":"one word","Env":null}"#, 0);
    assert_eq!(old.image.command, ["one word"]);
}

#[test]
fn what_is_no_configuration_is_refused_by_a_sentence() {
    let section = |section: &str| format!(r#"{{"config":{section}}}"#);
    for (json, wanted) in [
        ("{", "the configuration cannot be read: EOF while parsing an object at line 1 column 1"),
        (&section(r#"{"Env":["A=\u0000"]}"#), "the configuration cannot be read: \"A=\\0\" has a NUL in it"),
        (&section(r#"{"Cmd":["a\u0000b"]}"#), "the configuration cannot be read: \"a\\0b\" has a NUL in it"),
        (
            &section(r#"{"Cmd":[1]}"#),
            "the configuration cannot be read: Entrypoint, Cmd and Shell are lists of words",
        ),
        (r#"{"rootfs":{"diff_ids":["x"]}}"#, "the configuration cannot be read: not a sha256 digest: \"x\""),
    ] {
        let refused = ConfigFile::read(json.as_bytes()).unwrap_err().to_string();
        assert!(refused.starts_with(wanted), "{refused}\n{wanted}");
    }
    let refused = ConfigFile::read(&vec![b' '; CONFIG_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(refused.to_string(), "the configuration has more than 8388608 bytes");
}

#[test]
fn manifest_and_configuration_make_an_image_or_a_sentence() {
    let runs = r#"{"Cmd":["x"]}"#;
    let parts = ImageParts::new(&image(&manifest(2)), &digest(9), config(runs, 2)).unwrap();
    let layers: Vec<_> = parts
        .layers
        .iter()
        .map(|layer| (layer.blob.digest.clone(), layer.diff_id.clone(), layer.compression))
        .collect();
    assert_eq!(
        layers,
        [(digest(10), digest(100), Compression::Gzip), (digest(11), digest(101), Compression::Gzip)]
    );
    assert!(ImageParts::new(&image(&manifest(125)), &digest(9), config(runs, 125)).is_ok());
}

#[test]
fn manifest_and_configuration_that_do_not_fit_are_refused_by_a_sentence() {
    let runs = r#"{"Cmd":["x"]}"#;
    let of = |os: &str, architecture: &str| {
        ConfigFile::read(format!(r#"{{"os":"{os}","architecture":"{architecture}"}}"#).as_bytes()).unwrap()
    };
    let foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 2, "");
    let odd = descriptor("application/vnd.oci.image.layer.v1.tar+xz", 2, "");
    let config_of = |size: u64| {
        descriptor(media_type::OCI_CONFIG, 1, "").replace("\"size\":7", &format!("\"size\":{size}"))
    };
    for (manifest, config, wanted) in [
        (manifest(126), config(runs, 126), "the image has 126 layers: at most 125 can be run"),
        (manifest(2), config(runs, 1), "the image has 2 layers, and its configuration speaks of 1"),
        (
            manifest(0),
            of("windows", "amd64"),
            "the image is for windows/amd64, and has to be for linux/amd64",
        ),
        (manifest(0), of("linux", "arm64"), "the image is for linux/arm64, and has to be for linux/amd64"),
        (
            manifest_of(&descriptor(media_type::OCI_CONFIG, 9, ""), &[]),
            config(runs, 0),
            "the manifest names itself",
        ),
        (
            manifest_of(&config_of(8 << 20 | 1), &[]),
            config(runs, 0),
            "the configuration has more than 8388608 bytes",
        ),
        (
            manifest_of(&config_of(9), &[foreign]),
            config(runs, 1),
            "layers of the media type \"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\" are not in the image",
        ),
        (
            manifest_of(&config_of(9), &[odd]),
            config(runs, 1),
            "layers of the media type \"application/vnd.oci.image.layer.v1.tar+xz\" cannot be used",
        ),
    ] {
        let refused = ImageParts::new(&image(&manifest), &digest(9), config).unwrap_err().to_string();
        assert!(refused.starts_with(wanted), "{refused}\n{wanted}");
    }
}

#[test]
fn a_configuration_that_is_made_here_is_always_the_same_bytes() {
    let image = ImageConfig {
        entrypoint: vec!["/init".to_owned()],
        command: vec!["a \"b\"".to_owned()],
        env: [("B".to_owned(), "2".to_owned()), ("A".to_owned(), "1".to_owned())].into(),
        working_dir: "/app".to_owned(),
        user: "1000".to_owned(),
        exposed_ports: vec![80],
        ..ImageConfig::default()
    };
    let wanted = r#"{"architecture":"amd64","config":{"Cmd":["a \"b\""],"Entrypoint":["/init"],"Env":["A=1","B=2"],"ExposedPorts":{"80/tcp":{}},"User":"1000","WorkingDir":"/app"},"os":"linux","rootfs":{"diff_ids":["DIGEST"],"type":"layers"}}"#;
    let json = config_json(&image, &[digest(7)]);
    assert_eq!(String::from_utf8(json).unwrap(), wanted.replace("DIGEST", &digest(7).to_string()));
    assert_eq!(
        config_json(&ImageConfig::default(), &[]),
        br#"{"architecture":"amd64","config":{},"os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}"#
    );
}

proptest! {
    #[test]
    fn a_configuration_is_read_as_it_was_written(
        words in proptest::collection::vec("[^\0]{0,20}", 0..4),
        command in proptest::collection::vec("[^\0]{0,20}", 0..4),
        env in proptest::collection::btree_map("[^\0=]{1,10}", "[^\0]{0,20}", 0..4),
        working_dir in "(/[^\0]{0,20})?",
        user in "[^\0]{0,20}",
        ports in proptest::collection::btree_set(1..=u16::MAX, 0..4),
        layers in 0..4_u8,
    ) {
        let exposed_ports = ports.into_iter().collect();
        let image = ImageConfig {
            entrypoint: words, command, env, working_dir, user, exposed_ports, ..ImageConfig::default()
        };
        let diff_ids: Vec<BlobDigest> = (0..layers).map(digest).collect();
        let read = ConfigFile::read(&config_json(&image, &diff_ids)).unwrap();
        prop_assert_eq!((&read.image, &read.diff_ids), (&image, &diff_ids));
        prop_assert_eq!(config_json(&read.image, &read.diff_ids), config_json(&image, &diff_ids));
    }
}
