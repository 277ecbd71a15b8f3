// SPDX-License-Identifier: BSD-3-Clause
// A choice is a number per item; what the number means depends on the item's kind.
#include "tests/support/choices.h"

#include <algorithm>
#include <random>
#include <span>

namespace ingot::tests {
namespace {

// One line, or the lines of a large copy.
struct Item {
  std::span<const PendingUnit> units;
  uint32_t options = 0;  // 0 keeps nothing, options - 1 keeps all
};

// An option per item, written down by what differs from keeping nothing or everything.
struct Choice {
  bool all = false;
  struct Change {
    uint32_t item;
    uint32_t option;
  };
  std::vector<Change> changes{};
  uint64_t random = 0;  // not 0: each item's option is drawn with this seed instead
};

// splitmix64 (Steele et al., OOPSLA'14): seeding the library's engines costs more than an image.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t operator()() {
    state_ += 0x9e3779b97f4a7c15ULL;
    uint64_t value = state_;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
    return value ^ value >> 31;
  }

 private:
  uint64_t state_;
};

constexpr uint32_t kCopyOptions = 9;
constexpr size_t kCopyUnits = 8;  // from so many whole lines on they count as one
// A line has all of its subsets as options if they are no more.
constexpr uint64_t kAllSubsets = 256;
constexpr uint32_t kRandomSubsets = 32;

size_t CountOrdered(const PendingUnit& unit) {
  return static_cast<size_t>(std::ranges::count_if(
      unit.stores, [](const PendingStore& pending) { return pending.ordered; }));
}

// All there are of one line or sector; 0: too many.
uint32_t SubsetsOf(const PendingUnit& unit) {
  const size_t ordered = CountOrdered(unit);
  const size_t others = unit.stores.size() - ordered;
  if (others == 0) return static_cast<uint32_t>(ordered + 1);
  const uint64_t subsets = others < 32 ? (ordered + 1) << others : kAllSubsets + 1;
  return subsets <= kAllSubsets ? static_cast<uint32_t>(subsets) : 0;
}

// Without all subsets: none, prefixes, suffixes, each store alone, each missing, random ones, all.
uint32_t OptionsOf(const PendingUnit& unit) {
  if (const uint32_t subsets = SubsetsOf(unit); subsets != 0) return subsets;
  return static_cast<uint32_t>(4 * unit.stores.size()) + kRandomSubsets + 2;
}

// Of stores that have no order.
bool IsChosen(size_t store, uint32_t option, size_t count, uint64_t random) {
  if (option == 0) return false;
  const size_t which = (option - 1) / count;
  const size_t index = (option - 1) % count;
  switch (which) {
    case 0:
      return store < index;
    case 1:
      return store >= index;
    case 2:
      return store == index;
    case 3:
      return store != index;
    default:
      // All is the last.
      return option == 4 * count + kRandomSubsets + 1 || (random >> store % 64 & 1) != 0;
  }
}

void KeepOfUnit(const PendingUnit& unit, uint32_t option, std::vector<WordStore>& kept) {
  const size_t ordered = CountOrdered(unit);
  const bool has_all = SubsetsOf(unit) != 0;
  // Of all subsets, the number says first how long the prefix is, then which of the others.
  size_t prefix = has_all ? option >> (unit.stores.size() - ordered) : ordered;
  const uint64_t mask = has_all ? option : Random(unit.stores[0].store.at + option)();
  size_t other = 0;
  for (size_t i = 0; i < unit.stores.size(); ++i) {
    const PendingStore& pending = unit.stores[i];
    bool chosen = has_all ? pending.ordered || (mask >> other & 1) != 0
                          : IsChosen(i, option, unit.stores.size(), mask);
    if (pending.ordered) {
      // The first that is lost takes along those behind it.
      if (!chosen) prefix = 0;
      chosen = prefix > 0;
      prefix -= chosen ? 1 : 0;
    } else {
      ++other;
    }
    if (chosen) kept.push_back(pending.store);
  }
}

// Every word of a line, or of a sector, by one copy.
bool IsWhole(const PendingUnit& unit) {
  const size_t size_bytes = unit.stores.size() * kWordSize;
  return unit.only_non_temporal && unit.stores[0].store.at % size_bytes == 0 &&
         (size_bytes == kCacheLineSize || size_bytes == kSectorSize);
}

std::vector<Item> ItemsOf(const std::vector<PendingUnit>& pending) {
  std::vector<Item> items;
  for (size_t begin = 0; begin < pending.size();) {
    const uint64_t unit_bytes = pending[begin].stores.size() * kWordSize;
    size_t end = begin;
    while (end < pending.size() && IsWhole(pending[end]) &&
           pending[end].stores[0].store.at ==
               pending[begin].stores[0].store.at + (end - begin) * unit_bytes) {
      ++end;
    }
    if (end - begin >= kCopyUnits) {
      items.push_back({std::span(pending).subspan(begin, end - begin), kCopyOptions});
    } else {
      end = begin + 1;
      items.push_back({std::span(pending).subspan(begin, 1), OptionsOf(pending[begin])});
    }
    begin = end;
  }
  return items;
}

void Keep(const Item& item, uint32_t option, std::vector<WordStore>& kept) {
  if (item.units.size() == 1) return KeepOfUnit(item.units[0], option, kept);
  if (option == 0) return;
  const size_t last = item.units.size() - 1;
  for (size_t i = 0; i <= last; ++i) {
    const bool missing = (option == 1 && i == 0) || (option == 2 && i == last / 2) ||
                         (option == 3 && i == last) || (option == 4 && i <= last / 2) ||
                         (option == 5 && i > last / 2) || (option == 6 && i % 2 == 1);
    if (missing) continue;
    const std::vector<PendingStore>& stores = item.units[i].stores;
    for (size_t word = 0; word < stores.size(); ++word) {
      if (option != 7 || word % 2 == 0) kept.push_back(stores[word].store);
    }
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
  for (uint32_t item = 0; item < items.size(); ++item) {
    std::vector<Choice> longer;
    for (const Choice& choice : choices) {
      for (uint32_t option = 0; option < items[item].options; ++option) {
        longer.push_back(choice);
        if (option != 0) longer.back().changes.push_back({item, option});
      }
    }
    choices = std::move(longer);
  }
  return choices;
}

// None and all are the first two. Only lines with several stores have options between.
std::vector<Choice> UsefulChoices(const std::vector<Item>& items, size_t limit,
                                  std::mt19937_64& random) {
  constexpr size_t kPairsOf = 48;    // of more lines, pairs are left to chance
  constexpr size_t kMost = 100'000;  // of more lines still, so is what is left over
  constexpr int kRandom = 256;
  // A line with many options is not to crowd the others out.
  const size_t most_of_line = std::max<size_t>(16, limit / items.size());
  std::vector<Choice> choices;
  for (uint32_t i = 0; i < items.size() && choices.size() < kMost; ++i) {
    const uint32_t last = items[i].options - 1;
    const bool has_few = items[i].options <= most_of_line;
    for (uint32_t n = 0; n < std::min<size_t>(items[i].options, most_of_line); ++n) {
      const auto option = has_few ? n : static_cast<uint32_t>(random() % items[i].options);
      if (option != 0) choices.push_back({.all = false, .changes = {{i, option}}});
      if (option != last) choices.push_back({.all = true, .changes = {{i, option}}});
    }
    for (uint32_t j = 0; j < i && items.size() <= kPairsOf; ++j) {
      choices.push_back({.all = false, .changes = {{j, items[j].options - 1}, {i, last}}});
      choices.push_back({.all = true, .changes = {{j, 0}, {i, 0}}});
    }
  }
  for (int n = 0; n < kRandom; ++n) choices.push_back({.random = random() | 1});
  std::shuffle(choices.begin(), choices.end(), random);
  choices.insert(choices.begin(), {Choice{}, Choice{.all = true}});
  return choices;
}

std::vector<uint32_t> OptionsOf(const Choice& choice, const std::vector<Item>& items) {
  std::vector<uint32_t> options(items.size(), 0);
  Random random(choice.random);
  const uint64_t whole = random() % 4;  // how often a line is kept whole or lost whole
  for (size_t i = 0; i < items.size(); ++i) {
    const uint32_t last = items[i].options - 1;
    if (choice.all) options[i] = last;
    if (choice.random == 0) continue;
    options[i] = static_cast<uint32_t>(random() % items[i].options);
    if (random() % 4 < whole) options[i] = options[i] * 2 > last ? last : 0;
  }
  for (const Choice::Change& change : choice.changes) options[change.item] = change.option;
  return options;
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
    choices = UsefulChoices(items, limit, random);
    if (choices.size() > limit) choices.resize(std::max<size_t>(limit, 2));
  }
  std::vector<WordStore> kept;
  for (const Choice& choice : choices) {
    kept.clear();
    const std::vector<uint32_t> options = OptionsOf(choice, items);
    for (size_t i = 0; i < items.size(); ++i) Keep(items[i], options[i], kept);
    if (!visit(kept)) return;
  }
}

}  // namespace ingot::tests
