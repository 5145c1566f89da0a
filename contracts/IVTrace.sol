// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title VTrace: who recorded what on which goods, in which order, and who holds them
/// @notice A circ (circulation record) is one event in the life of goods. It is taken only with the signature of
/// its operator, only from the state that the operator signed it for, and for all of its goods or for none.
///
/// The limits: goods can have 4,095 circs, of which exams by actors that don't hold it can only be among the first
/// 3,072, so that nobody can use up what its holder needs; and 1,048,575 actors can be registered.
/// @dev Rules are checked in the order in which {circulate} lists them; the first broken one names the error.
interface IVTrace {
    /// @notice The goods `first .. first + count - 1`.
    /// @param first The lowest goods id of the range, at least 1.
    /// @param count How many goods follow one another from there, at least 1.
    struct Range {
        uint32 first;
        uint32 count;
    }

    /// @notice An actor was registered.
    /// @param actor Its number: 1 for the first, then one more each time.
    /// @param account The address whose signature speaks for the actor.
    /// @param rights What the actor may do, as in {setRights}.
    /// @param nameDigest The digest of the user name behind the actor; it never changes, and no other actor has it.
    event ActorRegistered(uint32 indexed actor, address account, uint8 rights, bytes32 nameDigest);

    /// @notice Another account speaks for an actor from now on.
    /// @param actor The actor.
    /// @param account The new account.
    /// @param sovereign Whether the account proved possession, so that only itself can change it again.
    event AccountChanged(uint32 indexed actor, address account, bool sovereign);

    /// @notice The rights of an actor were replaced.
    /// @param actor The actor.
    /// @param rights All its rights from now on, as in {setRights}.
    event RightsChanged(uint32 indexed actor, uint8 rights);

    /// @notice A circ was taken.
    /// @param operator The actor that signed it.
    /// @param to The holder after a produce or a transfer; the operator itself for a process or an exam.
    /// @param circType 0 produce, 1 process, 3 transfer, 4 exam.
    /// @param formDigest The digest of the salted form.
    /// @param version The sum of `times` over all the goods, before this circ.
    /// @param goods The goods that the circ is about.
    event Circulated(
        uint32 indexed operator,
        uint32 indexed to,
        uint8 indexed circType,
        bytes32 formDigest,
        uint256 version,
        Range[] goods
    );

    /// @notice A circ names no goods.
    error NoGoods();

    /// @notice A range is empty.
    /// @param index The range's place in the list, from 0.
    error EmptyRange(uint256 index);

    /// @notice A range leaves the goods ids 1 .. 2^31-1.
    /// @param index The range's place in the list, from 0.
    /// @param first The range's first goods id.
    /// @param count The range's count.
    error GoodsIdOutOfBounds(uint256 index, uint32 first, uint32 count);

    /// @notice A range begins before the one in front of it has ended.
    /// @param index The range's place in the list, from 0.
    error RangesNotAscending(uint256 index);

    /// @notice There is no such kind of circ.
    /// @param circType The kind that was given.
    error UnknownCircType(uint8 circType);

    /// @notice No actor of this number is registered.
    /// @param actor The number that was given.
    error UnknownActor(uint32 actor);

    /// @notice The operator has lost the right to circulate.
    /// @param actor The operator.
    error ActorDisabled(uint32 actor);

    /// @notice The operator lacks the right that this kind of circ needs.
    /// @param actor The operator.
    /// @param right The right that it lacks.
    error MissingRight(uint32 actor, uint8 right);

    /// @notice A process or an exam names a receiver other than the operator.
    /// @param to The receiver that was given.
    /// @param operator The operator.
    error WrongReceiver(uint32 to, uint32 operator);

    /// @notice A transfer names its own operator as the receiver.
    /// @param operator The operator.
    error TransferToSelf(uint32 operator);

    /// @notice The signature is not that of the account over exactly these values.
    /// @param actor The actor that the account should speak for.
    /// @param account The account that should have signed.
    error BadSignature(uint32 actor, address account);

    /// @notice The operator doesn't hold the goods, and the kind of circ demands it; or nobody does, and it is an exam.
    /// @param goodsId The first such goods.
    /// @param holder Who holds it, 0 for nobody.
    /// @param operator The operator.
    error NotHolder(uint32 goodsId, uint32 holder, uint32 operator);

    /// @notice The goods have had 4,095 circs, or 3,072 and this one is an exam by another than the holder.
    /// @param goodsId The first such goods.
    error TimesExhausted(uint32 goodsId);

    /// @notice The circ was signed for another state of the goods than the one they are in.
    /// @param given The version in the circ.
    /// @param expected The sum of `times` over all the goods, now.
    error WrongVersion(uint256 given, uint256 expected);

    /// @notice The zero address can't speak for an actor.
    error ZeroAccount();

    /// @notice The rights have a bit that has no meaning.
    /// @param rights The rights that were given.
    error UnknownRights(uint8 rights);

    /// @notice An actor must have a name: its digest is not zero.
    error ZeroNameDigest();

    /// @notice An actor of this name is registered already.
    /// @param nameDigest The digest that was given.
    /// @param actor The actor whose name it is.
    error NameTaken(bytes32 nameDigest, uint32 actor);

    /// @notice As many actors are registered as can be numbered.
    /// @param limit The highest number of an actor.
    error ActorsExhausted(uint32 limit);

    /// @notice Only its own account can change the account of a sovereign actor.
    /// @param actor The actor.
    error SovereignActor(uint32 actor);

    /// @notice Registers an actor. Its account is custodial until {setAccount} is called with possession.
    /// @dev Only REGISTRAR_ROLE. Several actors may share an account: whatever an account signs names its actor. They
    /// can't share a name: what stands under a name was signed by the one actor that has it.
    /// @param account The address whose signature speaks for the actor; a contract answers by EIP-1271.
    /// @param rights What the actor may do, as in {setRights}.
    /// @param nameDigest The digest of the user name behind the actor; not zero, and no actor's yet.
    /// @return actor The number of the new actor.
    function registerActor(address account, uint8 rights, bytes32 nameDigest) external returns (uint32 actor);

    /// @notice Replaces the rights of an actor, custodial or sovereign.
    /// @dev Only REGISTRAR_ROLE.
    /// @param actor The actor.
    /// @param rights The sum of 1 to circulate at all, 2 to produce and 4 to examine what others hold. An actor
    /// without the first is disabled as an operator; it can still receive.
    function setRights(uint32 actor, uint8 rights) external;

    /// @notice Lets another account speak for an actor.
    /// @dev For a custodial actor only REGISTRAR_ROLE may call: without possession the actor stays custodial, with
    /// it the actor becomes sovereign for good. For a sovereign actor only its present account may call, and the
    /// new one must prove possession as well.
    /// @param actor The actor.
    /// @param account The new account.
    /// @param possession The new account's EIP-712 signature over `Account(uint32 actor,address account)`, or empty.
    function setAccount(uint32 actor, address account, bytes calldata possession) external;

    /// @notice Takes a circ. Anyone may send it; the operator's signature is what counts.
    /// @dev The rules, in this order:
    /// 1. there is a range; each is neither empty, nor out of bounds, nor does it begin before the last one ended;
    /// 2. the kind is known;
    /// 3. the operator is registered and not disabled;
    /// 4. produce: the operator has the right to produce; process and exam: `to` is the operator; transfer: it isn't;
    /// 5. `to` is registered;
    /// 6. the operator's account signed, by EIP-712,
    /// `Circ(Range[] goods,uint8 circType,uint32 operator,uint32 to,bytes32 formDigest,uint256 version)`;
    /// 7. of each goods, in ascending order: the operator holds it, or it is unheld and the circ is a produce, or
    /// another holds it, the circ is an exam and the operator has the right to examine; then its `times` is below
    /// 4,095, or below 3,072 if another holds it;
    /// 8. `version` is the sum of `times` over all the goods. It only grows, so a circ can't be taken twice.
    /// @param goods The goods, in ascending ranges that don't overlap.
    /// @param circType 0 produce, 1 process, 3 transfer, 4 exam.
    /// @param operator The actor whose circ this is.
    /// @param to Who holds the goods after a produce or a transfer; the operator for a process or an exam.
    /// @param formDigest The digest of the salted form.
    /// @param version The sum of `times` over all the goods that the circ was signed for.
    /// @param signature The operator's signature.
    function circulate(
        Range[] calldata goods,
        uint8 circType,
        uint32 operator,
        uint32 to,
        bytes32 formDigest,
        // Named as the field that is signed, which nothing here can confuse with the function.
        // slither-disable-next-line shadowing-local
        uint256 version,
        bytes calldata signature
    ) external;

    /// @notice The custody of one goods; zeros for goods that no circ has named.
    /// @param goodsId The goods.
    /// @return holder Who holds it, 0 for nobody.
    /// @return times How many circs it has had; 0 if and only if nobody holds it.
    function goodsOf(uint32 goodsId) external view returns (uint32 holder, uint32 times);

    /// @notice An actor; zeros for a number that is not registered.
    /// @param actor The actor's number.
    /// @return account The address whose signature speaks for it.
    /// @return rights What it may do, as in {setRights}.
    function actorOf(uint32 actor) external view returns (address account, uint8 rights);

    /// @notice The contract's name, also that of its EIP-712 domain.
    /// @return The name.
    function name() external pure returns (string memory);

    /// @notice The contract's version, also that of its EIP-712 domain.
    /// @return The version.
    function version() external pure returns (string memory);
}
