#include "client/cli/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace dlm::cli {
namespace {

TEST(Histogram, OfNothingIsZero) {
  Histogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.max(), 0U);
  EXPECT_EQ(histogram.percentile(50), 0U);
}

TEST(Histogram, IsExactForSmallValues) {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 50; ++value) histogram.record(value);
  EXPECT_EQ(histogram.percentile(0), 1U);
  EXPECT_EQ(histogram.percentile(50), 25U);
  EXPECT_EQ(histogram.percentile(98), 49U);
  EXPECT_EQ(histogram.percentile(100), 50U);
}

TEST(Histogram, NeverGoesAboveTheLargestValue) {
  for (std::uint64_t value : {std::uint64_t{0}, std::uint64_t{63}, std::uint64_t{64},
                              std::uint64_t{1'000'003}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    Histogram histogram;
    histogram.record(value);
    EXPECT_EQ(histogram.percentile(0), value);
    EXPECT_EQ(histogram.percentile(99.9), value);
    EXPECT_EQ(histogram.max(), value);
  }
}

TEST(Histogram, IsWithinItsErrorOfTheTruth) {
  std::mt19937_64 random(42);
  std::lognormal_distribution<double> latency(11, 2);
  Histogram histogram;
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(static_cast<std::uint64_t>(latency(random)));
    histogram.record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (double percent : {1.0, 50.0, 90.0, 99.0, 99.9}) {
    auto rank =
        static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(values.size()) - 1e-6));
    auto truth = static_cast<double>(values[rank - 1]);
    auto told = static_cast<double>(histogram.percentile(percent));
    EXPECT_GE(told, truth) << percent;
    EXPECT_LE(told, truth * (1 + 1.0 / 64) + 1) << percent;
  }
}

TEST(Histogram, OfPartsMergesToTheHistogramOfTheWhole) {
  Histogram whole;
  Histogram odd;
  Histogram even;
  for (std::uint64_t value = 1; value < 3'000'000; value = value * 5 / 4 + 1) {
    whole.record(value);
    (value % 2 == 0 ? even : odd).record(value);
  }
  odd.merge(even);
  EXPECT_EQ(odd.count(), whole.count());
  EXPECT_EQ(odd.max(), whole.max());
  for (double percent = 0; percent <= 100; percent += 2.5)
    EXPECT_EQ(odd.percentile(percent), whole.percentile(percent));
}

}  // namespace
}  // namespace dlm::cli
