//! The domain depends on no runtime, no store and no clock.

use std::path::Path;

#[test]
fn domain_modules_depend_only_on_the_core_and_serde() {
    let domain = Path::new(env!("CARGO_MANIFEST_DIR")).join("domain");
    let mut files = 0;
    for file in std::fs::read_dir(&domain).unwrap() {
        let path = file.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        files += 1;
        // The imports of a module are not indented.
        for line in source.lines() {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let Some(used) = line.strip_prefix("use ") else { continue };
            let root = used.split([':', ';']).next().unwrap();
            let known = ["cqrs_core", "serde", "std", "super"].contains(&root);
            let of_the_domain = domain.join(format!("{root}.rs")).exists();
            assert!(known || of_the_domain, "{}: {line}", path.display());
        }
        for word in ["async ", ".await", "now()", "cqrs::", "tokio", "random()"] {
            assert!(!source.contains(word), "{}: {word}", path.display());
        }
    }
    assert!(files > 3);
}
