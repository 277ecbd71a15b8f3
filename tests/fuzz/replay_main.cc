// SPDX-License-Identifier: BSD-3-Clause
// Runs each file of the directories (or the files) that it is given through the target once, in
// order of their names: the corpus as a test, where there is no libFuzzer. The last name printed is
// the culprit's.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size_bytes);

namespace {

std::vector<std::filesystem::path> FilesOf(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry);
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int count, char** arguments) {
  size_t done = 0;
  for (int i = 1; i < count; ++i) {
    for (const std::filesystem::path& file : FilesOf(arguments[i])) {
      std::ifstream stream(file, std::ios::binary);
      const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(stream)), {});
      if (!stream.good()) {
        std::fprintf(stderr, "cannot read '%s'\n", file.c_str());
        return 1;
      }
      std::printf("%s\n", file.filename().c_str());
      std::fflush(stdout);
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      ++done;
    }
  }
  std::printf("%zu inputs\n", done);
  return done == 0 ? 1 : 0;
}
