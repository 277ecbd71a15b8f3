// SPDX-License-Identifier: BSD-3-Clause
// Plain conversion; no state.
#include "fs/check/report_json.h"

#include <nlohmann/json.hpp>

namespace ingot::check {
namespace {

nlohmann::json CountsToJson(const CheckCounts& counts) {
  return {
      {"inodes", counts.inodes},
      {"directories", counts.directories},
      {"files", counts.files},
      {"backed_files", counts.backed_files},
      {"symlinks", counts.symlinks},
      {"special_files", counts.special_files},
      {"orphans", counts.orphans},
      {"entries", counts.entries},
      {"extents", counts.extents},
      {"data_pages", counts.data_pages},
      {"metadata_pages", counts.metadata_pages},
      {"inode_pages", counts.inode_pages},
      {"groups", counts.groups},
      {"groups_in_use", counts.groups_in_use},
  };
}

nlohmann::json FindingToJson(const Finding& finding) {
  nlohmann::json json = {
      {"kind", NameOf(finding.kind)}, {"text", finding.text}, {"repaired", finding.repaired}};
  if (IsNotice(finding.kind)) json["notice"] = true;
  if (finding.place.group) json["group"] = finding.place.group->value;
  if (finding.place.inode) json["inode"] = finding.place.inode->value;
  if (finding.place.page) json["page"] = finding.place.page->value;
  return json;
}

}  // namespace

nlohmann::json ToJson(const CheckReport& report) {
  nlohmann::json by_kind = nlohmann::json::object();
  for (size_t kind = 0; kind < kFindingKinds; ++kind) {
    if (report.counts_by_kind[kind] == 0) continue;
    by_kind[std::string(NameOf(static_cast<FindingKind>(kind)))] = report.counts_by_kind[kind];
  }
  nlohmann::json findings = nlohmann::json::array();
  for (const Finding& finding : report.findings) findings.push_back(FindingToJson(finding));
  return {
      {"clean", report.clean()},
      {"clean_now", report.clean_now()},
      {"found", report.found},
      {"remaining", report.remaining},
      {"notices", report.notices},
      {"rounds", report.rounds},
      {"needs_recovery", report.needs_recovery},
      {"found_by_kind", by_kind},
      {"findings", findings},
      {"counts", CountsToJson(report.counts)},
  };
}

}  // namespace ingot::check
