//! What a program finds inside a container: started as the container's own and by exec.

mod support;

use std::time::Instant;

use support::with;

#[test]
fn hello() {
    with(|_| {}, |f| async move {
        for _ in 0..5 {
            let at = Instant::now();
            let spec = f.spec("echo hi");
            let id = spec.id;
            use paddock_runtime::Runtime;
            f.runtime.start(spec).await.unwrap();
            let mut output = f.runtime.output(id, 0).await.unwrap();
            let first = output.recv().await.unwrap();
            eprintln!("first line after {:?}: {first:?}", at.elapsed());
            eprintln!("{:?}", f.exit(id).await);
            f.runtime.remove(id).await.unwrap();
        }
        assert_eq!(f.sh("id -u; cat /proc/self/uid_map; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; ls -la /; ls /app /dev /proc; mount").await, "");
    });
}
