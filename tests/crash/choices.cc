// SPDX-License-Identifier: BSD-3-Clause
// A choice is a number per item; what the number means depends on the item's kind.
#include "tests/crash/choices.h"

#include <algorithm>
#include <random>
#include <set>
#include <span>

namespace ingot::tests {
namespace {

// One line, or the lines of a large copy.
struct Item {
  std::span<const PendingUnit> units;
  uint32_t options = 0;  // 0 keeps nothing, options - 1 keeps all
};

using Choice = std::vector<uint32_t>;

constexpr size_t kCopyLines = 8;  // from so many whole lines on they count as one

bool IsWholeLine(const PendingUnit& unit) {
  return unit.only_non_temporal && unit.stores.size() == kCacheLineSize / kWordSize;
}

std::vector<Item> ItemsOf(const std::vector<PendingUnit>& pending) {
  std::vector<Item> items;
  for (size_t begin = 0; begin < pending.size();) {
    size_t end = begin;
    while (end < pending.size() && IsWholeLine(pending[end]) &&
           pending[end].stores[0].at ==
               pending[begin].stores[0].at + (end - begin) * kCacheLineSize) {
      ++end;
    }
    if (end - begin >= kCopyLines) {
      items.push_back({std::span(pending).subspan(begin, end - begin), 5});
    } else {
      end = begin + 1;
      items.push_back({std::span(pending).subspan(begin, 1),
                       static_cast<uint32_t>(pending[begin].stores.size() + 1)});
    }
    begin = end;
  }
  return items;
}

void Keep(const Item& item, uint32_t option, std::vector<WordStore>& kept) {
  if (item.units.size() == 1) {
    const auto& stores = item.units[0].stores;
    kept.insert(kept.end(), stores.begin(), stores.begin() + option);
    return;
  }
  if (option == 0) return;
  const size_t last = item.units.size() - 1;
  for (size_t i = 0; i <= last; ++i) {
    const bool missing =
        (option == 1 && i == 0) || (option == 2 && i == last / 2) || (option == 3 && i == last);
    if (missing) continue;
    kept.insert(kept.end(), item.units[i].stores.begin(), item.units[i].stores.end());
  }
}

uint64_t Combinations(const std::vector<Item>& items) {
  uint64_t count = 1;
  for (const Item& item : items) {
    count *= item.options;
    if (count > kAllCombinations) return count;
  }
  return count;
}

std::vector<Choice> AllChoices(const std::vector<Item>& items) {
  std::vector<Choice> choices = {{}};
  for (const Item& item : items) {
    std::vector<Choice> longer;
    for (const Choice& choice : choices) {
      for (uint32_t option = 0; option < item.options; ++option) {
        longer.push_back(choice);
        longer.back().push_back(option);
      }
    }
    choices = std::move(longer);
  }
  return choices;
}

std::vector<Choice> UsefulChoices(const std::vector<Item>& items, std::mt19937_64& random) {
  constexpr size_t kPairsOf = 48;  // more lines than that: their pairs are left to chance
  constexpr int kRandom = 256;
  const Choice none(items.size(), 0);
  Choice all;
  for (const Item& item : items) all.push_back(item.options - 1);
  std::set<Choice> choices;
  const auto add = [&](const Choice& base, size_t i, uint32_t option, size_t j, uint32_t second) {
    Choice choice = base;
    choice[i] = option;
    choice[j] = second;
    choices.insert(std::move(choice));
  };
  for (size_t i = 0; i < items.size(); ++i) {
    for (uint32_t option = 0; option < items[i].options; ++option) {
      add(none, i, option, i, option);
      add(all, i, option, i, option);
    }
    for (size_t j = 0; j < i && items.size() <= kPairsOf; ++j) {
      add(none, i, items[i].options - 1, j, items[j].options - 1);
      add(all, i, 0, j, 0);
    }
  }
  for (int n = 0; n < kRandom; ++n) {
    Choice choice;
    const uint64_t whole = random() % 4;  // how often a line is kept whole or lost whole
    for (const Item& item : items) {
      const auto option = static_cast<uint32_t>(random() % item.options);
      const bool kept = option * 2 >= item.options;
      choice.push_back(random() % 4 < whole ? (kept ? item.options - 1 : 0) : option);
    }
    choices.insert(std::move(choice));
  }
  choices.erase(none);
  choices.erase(all);
  std::vector<Choice> list(choices.begin(), choices.end());
  std::shuffle(list.begin(), list.end(), random);
  list.insert(list.begin(), {none, all});
  return list;
}

}  // namespace

void ForEachChoice(const std::vector<PendingUnit>& pending, size_t limit, uint64_t seed,
                   const std::function<bool(const std::vector<WordStore>&)>& visit) {
  std::mt19937_64 random(seed);
  const std::vector<Item> items = ItemsOf(pending);
  std::vector<Choice> choices;
  if (Combinations(items) <= std::min(limit, kAllCombinations)) {
    choices = AllChoices(items);
  } else {
    choices = UsefulChoices(items, random);
    if (choices.size() > limit) choices.resize(std::max<size_t>(limit, 2));
  }
  std::vector<WordStore> kept;
  for (const Choice& choice : choices) {
    kept.clear();
    for (size_t i = 0; i < items.size(); ++i) Keep(items[i], choice[i], kept);
    if (!visit(kept)) return;
  }
}

}  // namespace ingot::tests
