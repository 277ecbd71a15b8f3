// SPDX-License-Identifier: BSD-3-Clause
// All orders by depth-first search; the model runs each from the beginning, which takes
// microseconds.
#include "tests/crash/linearizations.h"

#include <algorithm>

#include <fmt/format.h>

namespace ingot::tests {

void Linearizations::ReadOrder(const Trace& trace) {
  began_.assign(calls_.size(), SIZE_MAX);
  returned_.assign(calls_.size(), SIZE_MAX);
  for (const TraceEvent& event : trace.events) {
    if (event.kind != TraceEvent::kMark) continue;
    (event.at % 2 == 0 ? began_ : returned_)[event.at / 2] = marks_.size();
    marks_.push_back(event.at);
  }
}

void Linearizations::GoTo(size_t marks) {
  finished_ = running_ = 0;
  for (size_t call = 0; call < calls_.size(); ++call) {
    if (returned_[call] < marks) {
      finished_ |= Calls{1} << call;
    } else if (began_[call] < marks) {
      running_ |= Calls{1} << call;
    }
  }
  trees_.clear();
}

// Every call that had returned before it began is done.
bool Linearizations::MayBeNext(size_t call, Calls done) const {
  if ((done >> call & 1) != 0 || ((finished_ | running_) >> call & 1) == 0) return false;
  for (size_t other = 0; other < calls_.size(); ++other) {
    if (returned_[other] < began_[call] && (done >> other & 1) == 0) return false;
  }
  return true;
}

void Linearizations::Extend(std::vector<size_t>& order, Calls done) {
  PlainModel model;
  for (const Operation& operation : history_) (void)model.Run(operation);
  for (const size_t call : order) {
    const std::string answer = model.Run(calls_[call].operation);
    // What is still running has given no answer.
    if ((finished_ >> call & 1) != 0 && !Fits(answer, calls_[call].answer)) return;
  }
  if ((done & finished_) == finished_) {
    std::string tree = DumpTree(model);
    if (std::ranges::find(trees_, tree) == trees_.end()) trees_.push_back(std::move(tree));
  }
  for (size_t call = 0; call < calls_.size(); ++call) {
    if (!MayBeNext(call, done)) continue;
    order.push_back(call);
    Extend(order, done | Calls{1} << call);
    order.pop_back();
  }
}

std::string Linearizations::Judge(Volume& volume) {
  if (trees_.empty()) {
    std::vector<size_t> order;
    Extend(order, 0);
    if (trees_.empty()) return "no order gives these answers";
  }
  const std::string tree = TreeOf(volume);
  std::string first;
  for (const std::string& possible : trees_) {
    const std::string difference = TreeDifference(possible, tree);
    if (difference.empty()) return "";
    if (first.empty()) first = difference;
  }
  return fmt::format("none of {} trees; from one: {}", trees_.size(), first);
}

std::string Linearizations::Describe() const {
  std::string text;
  for (size_t call = 0; call < calls_.size(); ++call) {
    text += fmt::format("  {} [{}, {}] {}: {}\n",
                        (finished_ >> call & 1) != 0  ? "returned"
                        : (running_ >> call & 1) != 0 ? "running"
                                                      : "not begun",
                        began_[call], returned_[call], tests::Describe(calls_[call].operation),
                        calls_[call].answer);
  }
  return text;
}

}  // namespace ingot::tests
