# A formula for Homebrew, which builds from source. Untried: no macOS and no Homebrew were at hand.
# Before use, write the address and the checksum of a source archive.
class Tidings < Formula
  desc "Real-time push for web applications, by the Mercure protocol"
  homepage "https://example.com/tidings"
  url "https://example.com/tidings/tidings-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args(path: "crates/tidings")
    generate_completions_from_executable(bin/"tidings", "completions")
    system bin/"tidings", "man", man1
  end

  service do
    run [opt_bin/"tidings", "serve", "--config", etc/"tidings/tidings.toml"]
    keep_alive true
    working_dir var/"lib/tidings"
    log_path var/"log/tidings.log"
    error_log_path var/"log/tidings.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/tidings -V")
    assert_match "listen", shell_output("#{bin}/tidings config docs")
  end
end
