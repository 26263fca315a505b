// SPDX-License-Identifier: BSD-3-Clause
// Pickles in files of torch.save that somebody made to run code, to fill the memory or to crash:
// each is an Error in milliseconds.
#include "unit/checkpoint/hostile_torch_file.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace pergola::host::checkpoint_test {
namespace {

using testing::HasSubstr;

TEST_F(HostileTorchFileTest, ThePiecesOfTheseTestsMakeASoundFile) {
  const StateDict state = read(torch_zip(kSound, {number(0x3f800000, 4) + std::string(12, '\0')}));
  ASSERT_EQ(state.size(), 1U);
  EXPECT_EQ(state[0].first, "w");
  EXPECT_EQ(state[0].second.sizes(), (at::IntArrayRef{2, 2}));
  EXPECT_EQ(state[0].second[0][0].item<float>(), 1);
}

// Or a test after another of this process could take what that one has given back, unseen.
TEST(CostTest, CountsWhatWasTakenAndGivenBackBefore) {
  constexpr std::size_t kBytes = 100 << 20;
  const auto take = [] {
    std::string bytes(kBytes, 'x');
    *const_cast<volatile char*>(bytes.data()) = 'y';  // or the compiler leaves it all out
  };
  EXPECT_GT(cost_of(take).mib, 90);
  EXPECT_GT(cost_of(take).mib, 90);
  EXPECT_LT(cost_of([] {}).mib, 10);
}

TEST_F(HostileTorchFileTest, CodeIsRefusedByNameAndNotRun) {
  const fs::path witness = folder_ / "witness";
  const std::string touch = "touch " + witness.string();
  const auto call = [&](const std::string& module, const std::string& name) {
    return global(module, name) + tuple({text(touch)}) + "R";
  };
  EXPECT_EQ(error_of_pickle(call("posix", "system")),
            file_.string() +
                " holds posix.system, which is no tensor or plain data, and Pergola runs no code "
                "of a file; in Python, save the weights alone: torch.save(model.state_dict(), "
                "FILE)");
  EXPECT_THAT(error_of_pickle(call("os", "system")), HasSubstr("holds os.system, which"));
  EXPECT_THAT(error_of_pickle(call("builtins", "eval")), HasSubstr("holds builtins.eval, which"));
  EXPECT_THAT(error_of_pickle(call("torch._utils", "_rebuild_tensor_v2.__globals__")),
              HasSubstr("holds torch._utils._rebuild_tensor_v2.__globals__, which"));
  EXPECT_THAT(error_of_pickle(text("posix") + text("system") + "\x93"),
              HasSubstr("holds posix.system, which"));
  EXPECT_FALSE(fs::exists(witness));
}

TEST_F(HostileTorchFileTest, OperationsThatMakeObjectsAreRefused) {
  // INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, PERSID, NEXT_BUFFER, DUP, and INT of protocol 0.
  for (const std::string op :
       {"i", "o", "\x81", "\x92", "\x82", "P", "\x97", "2", "I1\n", "\xff"}) {
    EXPECT_THAT(error_of_pickle(global("collections", "OrderedDict") + ")" + op),
                HasSubstr("holds operation 0x"))
        << op;
  }
}

TEST_F(HostileTorchFileTest, CallsOfWhatIsNoFunctionAreRefused) {
  EXPECT_THAT(error_of_pickle(text("os.system") + ")R"), HasSubstr("its pickle calls a string"));
  EXPECT_THAT(error_of_pickle(global("torch", "float32") + ")R"), HasSubstr("it is no function"));
  EXPECT_THAT(error_of_pickle(global("torch", "Size") + "NR"),
              HasSubstr("its pickle calls a name"));
  EXPECT_THAT(error_of_pickle(global("torch", "FloatStorage") + "}b"),
              HasSubstr("puts something into a name as if it were a dict"));
}

TEST_F(HostileTorchFileTest, NestingWithoutEndIsRefusedWithoutRecursion) {
  EXPECT_THAT(error_of_pickle(std::string(5'000'000, '(')), HasSubstr("is nested too deep"));
  // A million lists, each in the one before it.
  std::string lists(1'000'001, ']');
  EXPECT_THAT(error_of_bomb(lists), HasSubstr("its pickle needs too large a stack"));
  lists.resize(900'000);
  EXPECT_THAT(error_of_bomb(lists + std::string(899'999, 'a')),
              HasSubstr("its top level is a list"));
  // A list that is its own item.
  EXPECT_THAT(error_of_pickle(concat("]q", number(0, 1), "h", number(0, 1), "a")),
              HasSubstr("its top level is a list"));
  EXPECT_THAT(error_of_pickle(concat("}q", number(0, 1), text("w"), "h", number(0, 1), "s")),
              HasSubstr("'w' (a dict of 1)"));
}

TEST_F(HostileTorchFileTest, MemoBombsAreRefused) {
  // Ten lists, each of ten times the one before: 10^10 items, were they written out.
  std::string bomb = "]";
  for (int i = 0; i < 10; ++i) {
    bomb += concat("q", number(static_cast<std::uint64_t>(i), 1), "0](");
    for (int k = 0; k < 10; ++k) bomb += concat("h", number(static_cast<std::uint64_t>(i), 1));
    bomb += "e";
  }
  EXPECT_THAT(error_of_pickle(bomb), HasSubstr("its top level is a list"));
  // One large list, made a set again and again.
  std::string sets = concat("](", std::string(500'000, 'N'), "e\x85q", number(0, 1), "0");
  for (int i = 0; i < 1000; ++i) {
    sets += concat(global("builtins", "set"), "h", number(0, 1), "R0");
  }
  EXPECT_THAT(error_of_bomb(sets + "}"), HasSubstr("makes too much of what it has"));
  // One list, put into another again and again.
  std::string lists = concat("]q", number(0, 1), "]");
  for (int i = 0; i < 1'100'000; ++i) lists += "(hAhAhAhAhAhAhAhAhAhAe";
  std::replace(lists.begin() + 4, lists.end(), 'A', '\0');
  EXPECT_THAT(error_of_bomb(lists), HasSubstr("its pickle has too many items"));
  std::string nothings;
  for (int i = 0; i < 25'000'001; ++i) nothings += "N0";
  EXPECT_THAT(error_of_bomb(nothings), HasSubstr("its pickle has too many operations"));
  EXPECT_THAT(error_of_pickle("Nr\xff\xff\xff\xff" + std::string("h\x07")),
              HasSubstr("recalls a value that is not there"));
  EXPECT_THAT(error_of_bomb(std::string(3'000'000, '}')), HasSubstr("too large a stack"));
  std::string values;
  for (int i = 0; i < 2'100'000; ++i) values += "}0";
  EXPECT_THAT(error_of_bomb(values), HasSubstr("has too many values"));
}

TEST_F(HostileTorchFileTest, LengthsBeyondThePickleAreRefusedBeforeMemoryIsTaken) {
  for (const std::string op : {"X\xff\xff\xff\xff", "T\xff\xff\xff\x7f", "B\xff\xff\xff\xff",
                               "\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "\x8e\1\0\0\0\0\0\0\x7f",
                               "\x8b\xff\xff\xff\x7f", "U\xff", "C\xff", "\x8a\xff"}) {
    EXPECT_THAT(error_of_pickle(op), HasSubstr("its pickle is cut off"));
  }
  EXPECT_THAT(error_of_pickle(concat("c", std::string(2000, 'x'))), HasSubstr("does not end"));
}

TEST_F(HostileTorchFileTest, AStackThatDoesNotHoldIsRefused) {
  for (const std::string op : {"", "R", "a", "s", "b", "Q", "0", "q\1", "\x85", "\x87", "\x93"}) {
    EXPECT_THAT(error_of_pickle(op), HasSubstr("takes a value that is not there")) << op;
  }
  for (const std::string op : {"t", "e", "u", "l", "1", "\x90", "\x91"}) {
    EXPECT_THAT(error_of_pickle(op), HasSubstr("takes a mark that is not there")) << op;
  }
  EXPECT_THAT(error_of_pickle("](NR"), HasSubstr("takes a value that is not there"));
  EXPECT_THAT(error_of_pickle("NN"), HasSubstr("ends with values left over"));
  EXPECT_THAT(error_of_pickle("}(Nu"), HasSubstr("a key without a value"));
  EXPECT_THAT(error_of_pickle(")Na"), HasSubstr("into a tuple as if it were a list"));
  EXPECT_THAT(error_of_pickle("\x80\x06"), HasSubstr("of a protocol above 5"));
}

TEST_F(HostileTorchFileTest, TensorsBeyondTheirStorageAreRefused) {
  EXPECT_THAT(error_of_tensor(0, {5}, {1}), HasSubstr("reaches to byte 20 of storage '0', which "
                                                      "ends at 16"));
  EXPECT_THAT(error_of_tensor(1, {4}, {1}), HasSubstr("reaches to byte 20"));
  EXPECT_THAT(error_of_tensor(0, {2, 2}, {3, 1}), HasSubstr("reaches to byte 20"));
  EXPECT_THAT(error_of_tensor(5, {0}, {1}), HasSubstr("reaches to byte 20"));
  EXPECT_THAT(error_of_tensor(INT64_MAX, {1}, {1}), HasSubstr("more than 2^63-1 bytes"));
  EXPECT_THAT(error_of_tensor(0, {2}, {INT64_MAX}), HasSubstr("more than 2^63-1 bytes"));
  EXPECT_THAT(error_of_tensor(0, {1LL << 62, 4}, {0, 0}), HasSubstr("more than 2^63-1 bytes"));
  EXPECT_THAT(error_of_tensor(0, {0, 1LL << 62, 4}, {1, 1, 1}),
              HasSubstr("more than 2^63-1 bytes"));
}

TEST_F(HostileTorchFileTest, ATensorOf2To60ElementsOverOneIsRefused) {
  EXPECT_THAT(error_of_tensor(0, {1LL << 60}, {0}),
              HasSubstr("it makes 4611686018427387904 bytes of the 16 of storage '0'"));
}

TEST_F(HostileTorchFileTest, NumbersThatAreNoSizesAreRefused) {
  EXPECT_THAT(error_of_tensor(-1, {1}, {1}),
              HasSubstr("an offset, sizes or strides that are none"));
  EXPECT_THAT(error_of_tensor(0, {-1}, {1}), HasSubstr("that are none"));
  EXPECT_THAT(error_of_tensor(0, {2}, {-1}), HasSubstr("that are none"));
  EXPECT_THAT(error_of_tensor(0, {2}, {1, 1}), HasSubstr("that are none"));
  EXPECT_THAT(error_of_tensor(0, std::vector<std::int64_t>(65, 1), std::vector<std::int64_t>(65)),
              HasSubstr("65 dimensions"));
}

TEST_F(HostileTorchFileTest, StoragesThatAreNotAsTheFileHasThemAreRefused) {
  const auto error_of_storage = [&](const std::string& in) {
    return error_of_pickle(dict({{"w", tensor(in, 0, {1}, {1})}}));
  };
  EXPECT_THAT(error_of_storage(storage("FloatStorage", "0", 5)),
              HasSubstr("storage '0' has 20 bytes in the pickle and 16 in the file"));
  EXPECT_THAT(error_of_storage(storage("FloatStorage", "7", 4)),
              HasSubstr("it has no record for storage '7'"));
  EXPECT_THAT(error_of_storage(storage("FloatStorage", "../../x", 4)), HasSubstr("no record"));
  EXPECT_THAT(error_of_storage(storage("DoubleStorage", "0", 1LL << 60)),
              HasSubstr("a storage of more than 2^63-1 bytes"));
  EXPECT_THAT(error_of_storage(storage("FloatStorage", "0", 1LL << 60)),
              HasSubstr("has 4611686018427387904 bytes in the pickle"));
  EXPECT_THAT(error_of_storage(storage("FloatStorage", "0", -4)), HasSubstr("type or count"));
  EXPECT_THAT(error_of_storage(storage("QInt8Storage", "0", 16)),
              HasSubstr("holds torch.QInt8Storage, which"));
  EXPECT_THAT(error_of_storage(tuple({text("module"), text("x"), text("y"), text("z"), "N"}) + "Q"),
              HasSubstr("a reference that is of no storage"));
  EXPECT_THAT(error_of_pickle(dict({{"v", storage("FloatStorage", "0", 4)},
                                    {"w", storage("FloatStorage", "0", 3)}})),
              HasSubstr("storage '0' has two sizes"));
}

TEST_F(HostileTorchFileTest, ABoolThatIsNeitherTrueNorFalseIsRefused) {
  const std::string value = dict({{"w", tensor(storage("BoolStorage", "0", 2), 0, {2}, {1})}});
  EXPECT_THAT(error_of_file(torch_zip(value, {"\x01\x02"})), HasSubstr("neither 0 nor 1"));
}

TEST_F(HostileTorchFileTest, TwoWeightsOfOneNameAreRefused) {
  const std::string one = tensor(storage("FloatStorage", "0", 4), 0, {1}, {1});
  EXPECT_THAT(error_of_pickle(dict({{"w", one}, {"w", one}})),
              HasSubstr("has the weight 'w' twice"));
}

TEST_F(HostileTorchFileTest, AFileThatShrinksAfterItWasOpenedIsAnError) {
  write_bytes(file_, torch_zip(kSound, {kFourFloats}));
  const WeightsFile weights = open_weights(file_);
  fs::resize_file(file_, 10);
  EXPECT_THAT(error_of([&] { static_cast<void>(weights.load()); }),
              HasSubstr("became shorter while it was read"));
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
